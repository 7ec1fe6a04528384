"""The form of a line of the log, and where lines go in a program that sets up no log."""

import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufff9-\ufffb]"
)
_TO_QUOTE = re.compile(r"""[ \t=\r\n"']""")


def log_to_stderr() -> None:
    """In a program that has configured no log, lines go to standard error, in the form of every process: structlog's
    default is standard output, among the program's own results. What the program configures later replaces this.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            escaped,
            plain,
        ],
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )


def escaped(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: control characters and changes of direction are escaped as in Python. Further lines of an event are
    indented, so that none of them looks like an entry.
    """
    for key, value in entry.items():
        if isinstance(value, str) and not value.isprintable():
            entry[key] = _CONTROLS.sub(lambda found: found.group().encode("unicode_escape").decode(), value)
    event = entry["event"]
    if isinstance(event, str) and "\n" in event:
        entry["event"] = event.replace("\n", "\n    ")
    return entry


def plain(_: Any, __: str, entry: MutableMapping[str, Any]) -> str:
    """An entry as structlog's console renderer writes it without colours, in a third of its time, for the API's line
    for each request.
    """
    time, level, event = entry.pop("timestamp"), entry.pop("level"), entry.pop("event")
    trace = "".join([f"\n{entry.pop(name)}" for name in ("stack", "exception") if name in entry])
    fields = "".join([f" {key}={_shown(value)}" for key, value in sorted(entry.items())])
    return f"{time} [{level:<9}] {event}{fields}{trace}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and not _TO_QUOTE.search(value) else repr(value)
