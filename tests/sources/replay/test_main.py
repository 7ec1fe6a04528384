import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from flows.process.exit_codes import CANNOT_RUN
from flows.settings import Replay
from sources.replay.__main__ import parse_arguments
from sources.replay.faults.orders import FAULTS, describe

ROOT = Path(__file__).parents[3]


def test_what_is_not_said() -> None:
    tape = parse_arguments(["a.gz"])
    assert (tape.market, tape.speed, tape.times, tape.port, tape.loop) == ("spot", 1.0, "original", 9443, False)
    synthetic = parse_arguments(["--synthetic", "--speed", "max", "--symbols", "A", "B"])
    assert (synthetic.times, synthetic.speed, synthetic.symbols) == ("now", "max", ["A", "B"])


def test_settings_name_the_address_unless_the_command_does() -> None:
    settings = Replay(host="127.0.0.2", port=9555)
    found = parse_arguments(["a.gz"], settings)
    assert (found.host, found.port) == ("127.0.0.2", 9555)
    assert parse_arguments(["a.gz", "--port", "0"], settings).port == 0


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ([], "name tapes, or say --synthetic"),
        (["a.gz", "--synthetic"], "tapes or --synthetic, not both"),
        (["a.gz", "--speed", "0"], "'0' is no speed: write a number above 0, or max; at most 1,000,000"),
        (["a.gz", "--speed", "1000001"], "'1000001' is no speed"),
        (["a.gz", "--speed", "nan"], "'nan' is no speed"),
        (["a.gz", "--speed", "fast"], "'fast' is no speed"),
        (["a.gz", "--begin", "5"], "--begin is for a synthetic market of now"),
        (["--synthetic", "--times", "original", "--begin", "5"], "--begin is for a synthetic market of now"),
        (["a.gz", "--market", "coinm"], "invalid choice: 'coinm'"),
        (["a.gz", "--beside", "kraken"], "--beside is for a synthetic market of Binance"),
        (["--synthetic", "--venue", "kraken", "--beside", "coinbase"], "--beside is for a synthetic market of Binance"),
        (["--synthetic", "--beside", "okx"], "invalid choice: 'okx'"),
        (["a.gz", "--quiet", "BTCUSDT"], "--quiet names symbols of a synthetic market"),
        (["a.gz", "--halt", "BTCUSDT@5+5"], "--list, --halt and --delist name symbols of a synthetic market"),
        (["--synthetic", "--delist", "NOSUCH@5"], "--list, --halt and --delist name symbols of a synthetic market"),
        (["--synthetic", "--halt", "BTCUSDT@5"], "--halt BTCUSDT@5: write SYMBOL@WHEN+SECONDS"),
        (["--check", "stream.example"], "write the address of its REST side"),
        (["--check", "http://a", "--synthetic"], "--check serves nothing"),
        (["--check", "http://a", "--check-s", "0"], "--check-s is no time"),
    ],
)
def test_a_command_that_cannot_be_understood(argv: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(argv)
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


def test_the_help_shows_an_order_of_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for kind in FAULTS:
        assert describe(kind).example in shown


@pytest.mark.e2e
async def test_venues_beside_have_the_symbols_with_a_hyphen_or_their_own() -> None:
    for symbols, listed in ((("ETH-USD",), ["ETH/USD"]), ((), ["BTC/USD", "ETH/USD"])):
        command = ("--synthetic", "--beside", "kraken", "--symbols", "BTCUSDT", *symbols, "--port", "0")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sources.replay", *command, cwd=ROOT, stdout=PIPE, stderr=PIPE
        )
        try:
            assert process.stdout is not None
            address = (await process.stdout.readline()).decode().strip()
            async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client:
                states = [(await client.get(f"{below}/control/state")).json() for below in ("", "/kraken")]
            assert [(one["venue"], one["symbols"]) for one in states] == [("binance", ["BTCUSDT"]), ("kraken", listed)]
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@pytest.mark.e2e
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
async def test_it_says_where_it_listens_and_ends_cleanly(ending: signal.Signals) -> None:
    command = ("-m", "sources.replay", "--synthetic", "--symbols", "BTCUSDT", "--port", "0")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip()
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as client:
            assert (await client.get("/api/v3/ping")).json() == {}
        async with connect(f"ws://{address}/stream?streams=btcusdt@trade") as stream:
            assert json.loads(await stream.recv())["stream"] == "btcusdt@trade"
            process.send_signal(ending)
            async for _ in stream:
                pass  # a client that does not leave is cut off in the end
            assert stream.close_code == 1001
        _, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        assert b"Traceback" not in errors
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.e2e
async def test_a_tape_that_is_missing_is_an_error_that_names_it() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sources.replay", "nosuch.tape.zst", "--port", "0", cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == CANNOT_RUN
    assert b"nosuch.tape.zst: no such file" in errors
    assert b"Traceback" not in errors
