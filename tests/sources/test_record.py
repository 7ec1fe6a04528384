import asyncio
import errno
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import msgspec
import pytest

from flows.process.exit_codes import TRY_AGAIN
from flows.settings import Settings
from sources import record
from sources.record import TapeWriter
from sources.replay.exchange.server import running_exchange
from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.tape.tapes import load_tapes

ROOT = Path(__file__).parents[2]
BEGIN = 1_767_225_600_000


def trade_frame(number: int) -> bytes:
    data = {
        "e": "trade", "E": BEGIN + number, "s": "BTCUSDT", "t": number, "p": "9.50000000", "q": "1.00000000",
        "T": BEGIN + number, "m": True, "M": True,
    }  # fmt: skip
    return msgspec.json.encode({"stream": "btcusdt@trade", "data": data})


def test_what_was_written_is_what_the_exchange_plays(tmp_path: Path) -> None:
    path = tmp_path / "t.tape.zst"
    frames = [trade_frame(number) for number in range(1, 6)]
    tape = TapeWriter(path, venue="binance", symbols=("BTCUSDT",))
    for number, frame in enumerate(frames):
        tape.write(frame, number)
    tape.close()
    market = load_tapes([path], kind="spot")
    played = [message.data for message in market.play(lambda stream: stream == "btcusdt@trade")]
    assert [msgspec.json.decode(data)["t"] for data in played] == [1, 2, 3, 4, 5]


def test_a_tape_that_was_never_closed_is_readable_up_to_its_last_flush(tmp_path: Path) -> None:
    path = tmp_path / "t.tape.zst"
    tape = TapeWriter(path, venue="binance", symbols=("BTCUSDT",))
    tape.write(trade_frame(1), 1)
    tape.flush()
    copy = tmp_path / "copy.tape.zst"
    copy.write_bytes(path.read_bytes())
    tape.close()
    market = load_tapes([copy], kind="spot")
    assert len(list(market.play(lambda stream: stream == "btcusdt@trade"))) == 1


@pytest.mark.e2e
async def test_the_command_records_an_exchange_and_the_tape_plays(tmp_path: Path) -> None:
    market = SyntheticMarket("spot", ("BTCUSDT",), seed=3, start_ms=BEGIN, trades_per_s=50.0)
    out = tmp_path / "recorded.tape.zst"
    async with running_exchange(market, speed=4.0) as exchange:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sources.record", "--symbols", "btcusdt", "--minutes", "0.05",
            "--streams", "trade", "depth", "bookTicker", "--ws-url", exchange.ws_url, "--rest-url", exchange.rest_url,
            "--out", str(out), cwd=ROOT, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        said, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert f"python -m sources.replay {out}" in said.decode()
    tape = load_tapes([out], kind="spot")
    played = [
        msgspec.json.decode(message.data) for message in tape.play(lambda name: "@trade" in name or "@depth" in name)
    ]
    trades = [body["t"] for body in played if body.get("e") == "trade"]
    assert len(trades) > 50
    assert trades == list(range(trades[0], trades[0] + len(trades)))
    assert tape.depth("BTCUSDT", 5) is not None  # the snapshot is on the tape and fits the changes


def test_what_was_recorded_until_an_interrupt_is_kept_and_the_exit_code_names_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[Settings] = []

    async def break_off(settings: Settings, path: Path, *_: object, **__: object) -> int:
        taken.append(settings)
        path.write_text("some")
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record, "_record", break_off)
    with pytest.raises(SystemExit) as ended:
        record.main(["--venue", "coinbase", "--ws-url", "ws://127.0.0.1:1", "--out", "x"])
    assert ended.value.code == 130
    assert capsys.readouterr().out.startswith("x: 4 bytes; play it")
    feed = taken[0].feed  # all of it from there, nothing from the venue itself
    assert (feed.ws_url, feed.book_ws_url, feed.accounts_ws_url) == ("ws://127.0.0.1:1",) * 3


async def test_an_unknown_symbol_is_named(tmp_path: Path) -> None:
    market = SyntheticMarket("spot", ("BTCUSDT",), seed=3, start_ms=BEGIN)
    async with running_exchange(market, speed=1.0) as exchange:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sources.record", "--symbols", "BTCUSTD", "--minutes", "1",
            "--ws-url", exchange.ws_url, "--rest-url", exchange.rest_url, "--out", str(tmp_path / "x"),
            cwd=ROOT, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert "BTCUSTD is not traded there; did you mean BTCUSDT" in errors.decode()


def test_a_recording_that_finds_no_room_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fill(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record, "_record", fill)
    monkeypatch.setattr("sys.argv", ["record", "--symbols", "BTCUSDT", "--minutes", "1", "--out", str(tmp_path / "x")])
    with pytest.raises(SystemExit) as ended:
        record.main()
    assert ended.value.code == TRY_AGAIN
    assert capsys.readouterr().err.startswith(f"record: the disk of {tmp_path / 'x'} is full (")


def test_an_account_that_is_not_set_up_is_not_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        record.main(["--symbols", "BTCUSDT", "--accounts", "--out", str(tmp_path / "x")])
    assert ended.value.code == "record: --accounts: binance has no account: set api_key and api_secret"
    assert not (tmp_path / "x").exists()


def test_a_recording_that_is_broken_off_before_it_begins_leaves_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def break_off(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "_record", break_off)
    monkeypatch.setattr("sys.argv", ["record", "--symbols", "BTCUSDT", "--minutes", "1", "--out", str(tmp_path / "x")])
    with pytest.raises(SystemExit) as ended:
        record.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "record: broken off before anything came\n"
