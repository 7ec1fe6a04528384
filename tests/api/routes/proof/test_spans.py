"""What is known about the rows of a file, over REST and beside the file of the command."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from flows.command.app import PROGRAM, build_app
from tests.fakes.candles import BEGIN
from tests.fakes.interface import Deployment, interface, stored_candles, trade

MINUTE = 60_000


@pytest.fixture
def deployment(tmp_path: Path, mongod_uri: str) -> Deployment:
    """Ten minutes without the fourth, the second repaired, the sixth partial; trades 1 to 20 without 7 and 8."""
    made = Deployment(tmp_path, mongod_uri)
    candles = stored_candles(status="final", proof="equal")
    del candles[3]
    candles[1] = _of(candles[1], status="repaired")
    candles[4] = _of(candles[4], status="partial", proof="")
    made.store(candles)
    made.store_trades([trade(number, BEGIN + number * 20_000) for number in range(1, 21) if number not in (7, 8)])
    return made


def _of(one: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(one, **changes)


async def test_a_span_says_what_it_lacks_and_what_proves_it(deployment: Deployment) -> None:
    async with interface(deployment) as served:

        async def of(path: str) -> dict[str, Any]:
            found: dict[str, Any] = await served.data(f"/api/proof/{path}")
            return found

        candles = await of("candles/BTCUSDT/1m")
        assert (candles["proof"], candles["missing"], candles["gap_count"]) == ("unproven", 1, 1)
        assert candles["reason"] == "periods without a closed candle: 1; 1 partial"
        assert candles["gaps"] == [
            {"first_id": -1, "last_id": -1, "begin": BEGIN + 3 * MINUTE, "end": BEGIN + 3 * MINUTE}
        ]
        assert (candles["start"], candles["end"]) == (BEGIN, BEGIN + 10 * MINUTE)
        assert candles["statuses"] == {"final": 7, "repaired": 1, "partial": 1}
        assert candles["proofs"] == {"equal": 8, "not compared": 1}
        whole = await of(f"candles/BTCUSDT/1m?start={BEGIN}&end={BEGIN + 3 * MINUTE}")
        assert (whole["proof"], whole["reason"]) == ("repaired", "")
        plain = await of(f"candles/BTCUSDT/1m?start={BEGIN + 6 * MINUTE - 1}&end={BEGIN + 9 * MINUTE + 1}")
        assert (plain["proof"], plain["missing"]) == ("complete", 0)
        beyond = await of(f"candles/BTCUSDT/1m?start={BEGIN + 8 * MINUTE}&end={BEGIN + 12 * MINUTE}")
        assert (beyond["proof"], beyond["missing"]) == ("unproven", 2)

        trades = await of("trades/BTCUSDT")
        assert (trades["missing"], trades["gap_count"], trades["start"]) == (2, 1, BEGIN + 20_000)
        assert trades["gaps"] == [{"first_id": 7, "last_id": 8, "begin": BEGIN + 120_000, "end": BEGIN + 180_000}]
        assert trades["reason"] == "missing trades: 2; of its candles 1 partial"
        inside = await of(f"trades/BTCUSDT?start={BEGIN + 25_000}&end={BEGIN + 2 * MINUTE}")
        assert (inside["proof"], inside["start"], inside["end"]) == ("repaired", BEGIN + 25_000, BEGIN + 2 * MINUTE)
        at_the_gap = await of(f"trades/BTCUSDT?start={BEGIN + 25_000}&end={BEGIN + 130_000}")
        assert at_the_gap["missing"] == 2
        behind = await of(f"trades/BTCUSDT?start={BEGIN + 6 * MINUTE}&end={BEGIN + 30 * MINUTE}")
        assert behind["reason"] == "no trade behind the span is stored"
        before = await of(f"trades/BTCUSDT?start={BEGIN}&end={BEGIN + MINUTE}")
        assert before["reason"] == "no trade before the span is stored"
        nothing = await of(f"trades/BTCUSDT?start={BEGIN + 60 * MINUTE}")
        assert (nothing["proof"], nothing["reason"]) == ("unproven", "no trade is stored")
        assert await served.error("/api/proof/trades/NOPE") == (404, "unknown_symbol")

        minutes = trades | {"start": BEGIN, "timeframe": "1m"}
        minutes["reason"] = "missing trades: 2; no trade before the span is stored; of its candles 1 partial"
        later = f"start={BEGIN + MINUTE + 1}&end={BEGIN + 2 * MINUTE + 1}"
        whole_bar = await of(f"trades/BTCUSDT?{later}&bars=1m")
        assert (whole_bar["start"], whole_bar["end"], whole_bar["missing"]) == (
            BEGIN + 2 * MINUTE,
            BEGIN + 3 * MINUTE,
            2,
        )
        for kind, expected in (
            ("trades/BTCUSDT", trades),
            ("bars/BTCUSDT?kind=tick&size=3", trades),
            ("bars/BTCUSDT", minutes),
            (f"bars/BTCUSDT?{later}", whole_bar),
            ("candles/BTCUSDT/1m", candles),
        ):
            path = f"/api/export/{kind}"
            async with served.session.get(served.url + path) as response:
                link = response.headers["Link"]
            assert link.endswith('>; rel="describedby"')
            assert await served.data(link[1:].partition(">")[0]) == expected


def test_the_command_writes_it_beside_its_file(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = deployment.settings()
    monkeypatch.setenv("MARKETFLOW_MONGO__URI", settings.mongo.uri)
    monkeypatch.setenv("MARKETFLOW_MONGO__DATABASE", settings.mongo.database)
    monkeypatch.setenv("MARKETFLOW_TRADES__PATH", str(settings.trades.path))

    def call(*arguments: str) -> None:
        ended = CliRunner().invoke(build_app(), ["export", *arguments], prog_name=PROGRAM)
        assert ended.exit_code == 0, ended.stderr

    call("trades", "BTCUSDT", "-o", "trades.parquet")
    side = json.loads((tmp_path / "trades.parquet.proof.json").read_text())
    content = (tmp_path / "trades.parquet").read_bytes()
    assert (side["file"], side["size"], side["rows"]) == ("trades.parquet", len(content), 18)
    assert side["sha256"] == hashlib.sha256(content).hexdigest()
    assert (side["kind"], side["venue"], side["symbol"], side["timeframe"]) == ("trades", "binance", "BTCUSDT", "")
    assert (side["completeness"]["proof"], side["completeness"]["missing"]) == ("unproven", 2)
    assert side["completeness"]["end"] == BEGIN + 400_001
    call("bars", "BTCUSDT", "--by", "tick", "--size", "3", "-o", "bars.csv")
    assert json.loads((tmp_path / "bars.csv.proof.json").read_text())["timeframe"] == "tick 3"
    call("bars", "BTCUSDT", "--size", "3m", "-o", "bars.csv")
    bars = json.loads((tmp_path / "bars.csv.proof.json").read_text())["completeness"]
    assert (bars["start"], "no trade before the span is stored" in bars["reason"]) == (BEGIN, True)
    call("candles", "BTCUSDT", "-o", "none.csv", "--start", "2030-01-01", "--no-proof")
    assert sorted(path.name for path in tmp_path.glob("none*")) == ["none.csv"]
    call("candles", "BTCUSDT", "-o", "none.csv", "--start", "2030-01-01")
    none = json.loads((tmp_path / "none.csv.proof.json").read_text())["completeness"]
    assert (none["proof"], none["reason"]) == ("unproven", "no candle is stored")
    call("incidents", "-o", "ledger.json")
    assert json.loads((tmp_path / "ledger.json.proof.json").read_text())["completeness"]["proof"] == ""
