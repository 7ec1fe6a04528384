"""`marketflow publish`: tapes go into a topic, and what cannot be done is a line that says why."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import Result

from flows.command.outcome import ExitCode
from flows.kafka.frames import frame_of
from sources.kafka.tapes import frames_of, header_of
from sources.record import TapeWriter
from tests.fakes.kafka import Broker, running_broker
from tests.marked import ROOT

Call = Callable[..., Result]

TRADE = b'{"stream":"btcusdt@aggTrade","data":{"a":1}}'
OTHER = b'{"stream":"ethusdt@kline_1m","data":{"k":{}}}'
WITHOUT_EXTRA = "import sys; sys.modules['confluent_kafka'] = None\n"
COMMAND = "from flows.command.app import main\nsys.exit(main())"
FLOW = """
from flows.process.exit_codes import refuse_to_run
from flows.runtime.topics import open_kafka
from flows.settings import SettingsError, load_settings
try:
    open_kafka(load_settings(), print, {})
except SettingsError as error:
    refuse_to_run(error)
"""
REST = b'{"rest":"/api/v3/depth?symbol=BTCUSDT","data":{}}'


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running_broker() as running:
        yield running


def tape(folder: Path, venue: str = "binance") -> Path:
    path = folder / "one.tape.zst"
    with closing(TapeWriter(path, venue=venue, symbols=("BTCUSDT", "ETHUSDT"))) as writer:
        for number, payload in enumerate((TRADE, REST, OTHER, TRADE), start=1):
            (writer.write_own if payload is REST else writer.write)(payload, number)
    return path


def test_the_frames_of_a_tape_are_in_the_topic_as_they_were_received(
    broker: Broker, call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKETFLOW_KAFKA__BROKERS", broker.address)
    path = tape(folder)
    done = call("publish", str(path), str(path))
    assert (done.exit_code, done.stderr) == (0, f"marketflow: {path}: 3 frames published\n" * 2)
    found = broker.stored("marketflow.frames.binance")
    by_key = {key: [frame_of(b"binance", one.headers.items(), one.value) for one in found if one.key == key]
              for key in (b"binance:BTCUSDT", b"binance:ETHUSDT")}  # fmt: skip
    assert by_key == {
        b"binance:BTCUSDT": [("market", TRADE, 1), ("market", TRADE, 4)] * 2,
        b"binance:ETHUSDT": [("market", OTHER, 3)] * 2,
    }


def test_what_is_no_tape_is_named(folder: Path) -> None:
    path = tape(folder)
    assert header_of(path).symbols == ("BTCUSDT", "ETHUSDT")
    assert list(frames_of(path)) == [(1, TRADE), (3, OTHER), (4, TRADE)]
    other = folder / "other.tape.zst"
    other.write_bytes(b"nothing")
    with pytest.raises((ValueError, OSError), match=r"other\.tape\.zst"):
        header_of(other)


@pytest.mark.parametrize(
    ("brokers", "venue", "words", "code"),
    [
        ("", "binance", "kafka.brokers names no broker", ExitCode.WRONG_SETTINGS),
        ("127.0.0.1:1", "elsewhere", "is a tape of 'elsewhere'; venues are", ExitCode.FAILED),
    ],
)
def test_what_cannot_be_published_is_one_line(
    brokers: str, venue: str, words: str, code: ExitCode, call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if brokers:
        monkeypatch.setenv("MARKETFLOW_KAFKA__BROKERS", brokers)
    ended = call("publish", str(tape(folder, venue)))
    assert (ended.exit_code, ended.stderr.count("\n")) == (code, 1), ended.stderr
    assert words in ended.stderr


@pytest.mark.parametrize("code", [COMMAND, FLOW])
def test_without_the_extra_command_and_flow_name_what_to_install(code: str, folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA + code, "publish", str(tape(folder))],
        env=os.environ | {"MARKETFLOW_KAFKA__BROKERS": "127.0.0.1:1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 78, ended.stderr
    assert ended.stderr == "marketflow: kafka.brokers is set, and confluent_kafka is not installed: make dev\n"
