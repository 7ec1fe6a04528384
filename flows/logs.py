"""How the process speaks: structlog, for people on the console or as JSON for machines."""

import logging
import sys
from typing import Any

import structlog

from flows.settings import Log


def set_up_logs(log: Log) -> None:
    """Sets up logging for the whole process; the standard library's loggers of other packages speak through it too."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = log.format == "json"
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[log.level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # our own lines need not go round by the library's
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log.level)
    for chatty in ("websockets", "httpx", "httpcore", "pymongo", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
