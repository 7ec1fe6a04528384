"""The log's lines."""

from typing import Any

import structlog
from hypothesis import given
from hypothesis import strategies as st

from flows.logs import plain

KNOWN = ("timestamp", "level", "event", "logger", "stack", "exception", "exc_info")
KEYS = st.text("abcdefghij_", min_size=1).filter(lambda key: key not in KNOWN)
VALUES = st.text() | st.integers() | st.floats(allow_nan=False) | st.none() | st.lists(st.text())


@given(
    event=st.text("abc xyz", min_size=1).map(str.strip).filter(bool),
    level=st.sampled_from(("debug", "info", "warning", "error", "critical")),
    told=st.dictionaries(KEYS, VALUES),
    trace=st.dictionaries(st.just("exception"), st.text("abc\n", min_size=1)),
)
def test_a_plain_line_is_the_consoles(event: str, level: str, told: dict[str, Any], trace: dict[str, str]) -> None:
    entry = {"timestamp": "2026-01-01T00:00:00.123456Z", "level": level, "event": event} | told | trace
    console = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    line, _, trail = plain(None, level, dict(entry)).partition("\n")
    assert (line.rstrip(" "), trail) == console(None, level, dict(entry)).partition("\n")[::2]
