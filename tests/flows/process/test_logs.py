"""The log's lines."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from flows.process.log_bound import MOST, MOST_OF_LOGGER, LogBound
from flows.process.log_form import escaped, plain
from flows.process.logs import SUPPRESSED, Bounded, BoundedRecords

ROOT = Path(__file__).parents[3]
SPEAKS = """
import asyncio, logging, sys, structlog
from flows.process.logs import set_up_logs
from flows.settings import Log
set_up_logs(Log(format=sys.argv[1], file=sys.argv[2] if sys.argv[2:] else None), name="flow")
log = structlog.get_logger("somewhere")
for number in range(1_000):
    log.error("store failed", number=number)
    log.info("answered", path="/api/prices")
    logging.getLogger("asyncio").error("socket.accept() out of system resource\\nsocket: <%d>", number)
log.warning("hostile", text="\\x1b[2Jred\\n2026-01-01T00:00:00Z [error    ] forged", word="\\u202eabc")
logging.getLogger("other").warning("first\\n2026-01-01T00:00:00Z [error    ] forged\\x1b[31m")
try:
    raise ValueError("\\x1b[2J")
except ValueError:
    logging.getLogger("other").exception("failed")
"""

OF_A_PROGRAM = """
import structlog
{before}
import {package}
structlog.get_logger("somewhere").warning("line\\x1b[2J", number=7)
print("result")
"""


def of_a_program(package: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """What a program writes that sets up no log of ours, and uses a package."""
    source = OF_A_PROGRAM.format(package=package, before=before)
    return subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("package", ["api", "sinks", "sources"])
def test_a_program_that_uses_a_package_has_its_log_beside_its_results(package: str) -> None:
    ran = of_a_program(package)
    assert ran.stdout == "result\n"
    assert ran.stderr.partition(" ")[2] == "[warning  ] line\\x1b[2J number=7\n"


def test_a_program_keeps_the_log_that_it_has_configured() -> None:
    ran = of_a_program("api", "structlog.configure(processors=[structlog.processors.JSONRenderer()])")
    assert ran.stdout == '{"number": 7, "event": "line\\u001b[2J"}\nresult\n'
    assert ran.stderr == ""


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


def spoken(form: str, *file: str) -> list[str]:
    """What a process of its own writes."""
    command = [sys.executable, "-c", SPEAKS, form, *file]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    return ran.stdout.decode().splitlines()


@pytest.mark.e2e
def test_the_file_has_the_lines_of_the_console(tmp_path: Path) -> None:
    lines = spoken("console", str(tmp_path / "logs" / "marketflow.log"))
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["marketflow-flow.log"]
    assert (tmp_path / "logs" / "marketflow-flow.log").read_text().splitlines() == lines


@pytest.mark.e2e
def test_a_process_that_repeats_itself_is_cut_short_and_says_by_how_much() -> None:
    lines = spoken("json")
    entries = [json.loads(line) for line in lines]
    events = [entry["event"].partition("\n")[0] for entry in entries]

    assert events.count("answered") == 1_000
    assert events.count("store failed") == MOST
    assert events.count("socket.accept() out of system resource") == MOST
    assert [
        (entry["of_logger"], entry["of_level"], entry["of_event"], entry["count"])
        for entry in entries
        if entry["event"] == SUPPRESSED
    ] == [
        ("ours", "error", "store failed", 1_000 - MOST),
        ("asyncio", "error", "socket.accept() out of system resource", 1_000 - MOST),
    ]


@pytest.mark.e2e
def test_entries_with_a_kind_are_bounded_by_kind() -> None:
    bounded = Bounded(LogBound(), local_ms=lambda: 0)
    for _ in range(MOST):
        bounded(None, "", {"level": "warning", "event": "incident", "kind": "late"})
    with pytest.raises(structlog.DropEvent):
        bounded(None, "", {"level": "warning", "event": "incident", "kind": "late"})
    assert bounded(None, "", {"level": "warning", "event": "incident", "kind": "gap"})["kind"] == "gap"


def test_no_text_reaches_the_terminal_as_a_command_or_looks_like_a_line() -> None:
    lines = spoken("console")

    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines if line.startswith("2026-01-01")]
    assert [line for line in lines if line.startswith("ValueError: ")] == ["ValueError: \\x1b[2J"]


def test_records_whose_texts_never_repeat_are_bounded_by_their_logger() -> None:
    bounded = BoundedRecords(LogBound(), local_ms=lambda: 0)
    passed = [
        bounded.filter(logging.LogRecord("chatty", logging.ERROR, "", 0, f"failed {number}", None, None))
        for number in range(1_000)
    ]
    assert sum(passed) == MOST * MOST_OF_LOGGER


def test_the_count_is_said_with_the_next_line_of_any_kind() -> None:
    now = [0]
    bounded = Bounded(LogBound(window_ms=1_000), local_ms=lambda: now[0])
    for _ in range(MOST):
        bounded(None, "", {"level": "error", "event": "failed"})
    with pytest.raises(structlog.DropEvent):
        bounded(None, "", {"level": "error", "event": "failed"})

    now[0] = 1_000
    with capture_logs() as logs:
        bounded(None, "", {"level": "info", "event": "another"})

    assert [(entry["event"], entry["of_event"], entry["count"]) for entry in logs] == [(SUPPRESSED, "failed", 1)]


@given(st.text(), st.text())
def test_an_escaped_entry_is_visible_and_keeps_what_was_visible(event: str, value: str) -> None:
    entry = escaped(None, "", {"event": event, "key": value})
    for before, after in ((event, entry["event"]), (value, entry["key"])):
        assert before == after or not before.isprintable()
        assert not any(letter in after for letter in "\x1b\x07\x9b\r\u202e\u200b\u2028\x00")
    assert all(line.startswith("    ") for line in entry["event"].split("\n")[1:])
