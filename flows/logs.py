"""How the process speaks: structlog, for people on the console or as JSON for machines."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from flows.settings import Log

_TO_QUOTE = re.compile(r"""[ \t=\r\n"']""")


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
        else structlog.dev.ConsoleRenderer(pad_event_to=0)
        if sys.stderr.isatty()
        else plain
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


def plain(_: Any, __: str, entry: MutableMapping[str, Any]) -> str:
    """An entry as structlog's console renderer words it without colours, in a third of its time: where nobody watches,
    it is the interface's line for each request that counts.
    """
    time, level, event = entry.pop("timestamp"), entry.pop("level"), entry.pop("event")
    trace = "".join([f"\n{entry.pop(name)}" for name in ("stack", "exception") if name in entry])
    told = "".join([f" {key}={_shown(value)}" for key, value in sorted(entry.items())])
    return f"{time} [{level:<9}] {event}{told}{trace}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and not _TO_QUOTE.search(value) else repr(value)
