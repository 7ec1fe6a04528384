import gzip
import json
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sources.record import TapeWriter
from sources.replay.venues.coinbase.dialect import taped_coinbase
from sources.replay.venues.kraken.dialect import taped_kraken
from sources.replay.venues.served import Served
from tests.fakes.played import played
from tests.fakes.recordings import recording


def tape_of(folder: Path, venue: str, name: str, *, most: int = 100_000) -> tuple[Path, list[Any]]:
    """A tape as the recorder writes it, of recorded frames, and the frames."""
    path = folder / f"{venue}.tape.zst"
    tape = TapeWriter(path, venue=venue, symbols=("BTC-USD", "ETH-USD"))
    frames = []
    with gzip.open(recording(name) / "live-btc-eth.ndjson.gz") as lines:
        for number, line in enumerate(lines):
            if number < most:
                tape.write(line.rstrip(), number)
                frames.append(json.loads(line))
    tape.close()
    return path, frames


def sent(served: Served, *streams: str) -> list[Any]:
    return [json.loads(message.data) for message in played(served.market, streams.__contains__)]


def without_repeats(numbers: list[int]) -> list[int]:
    return [numbers[0], *(later for earlier, later in pairwise(numbers) if later != earlier)]


def test_a_tape_of_kraken_has_the_recorded_trades_and_checksums(tmp_path: Path) -> None:
    path, frames = tape_of(tmp_path, "kraken", "kraken-v2-2026-07-07")
    for symbol in ("BTC/USD", "ETH/USD"):
        of_it = [frame for frame in frames if frame.get("data") and frame["data"][0].get("symbol") == symbol]
        served = taped_kraken([path])
        messages = sent(served, f"{symbol}@trade", f"{symbol}@book-10")
        rows = {row["trade_id"]: row for one in of_it if one["channel"] == "trade" for row in one["data"]}
        again = {row["trade_id"]: row for one in messages if one["channel"] == "trade" for row in one["data"]}
        assert again.keys() == rows.keys()
        for number, row in again.items():
            assert {name: row[name] for name in ("price", "qty", "side")} == {
                name: rows[number][name] for name in ("price", "qty", "side")
            }
            assert row["timestamp"][:23] == rows[number]["timestamp"][:23]
        proven = [one["data"][0]["checksum"] for one in of_it if one["channel"] == "book"]
        computed = [one["data"][0]["checksum"] for one in messages if one["channel"] == "book"]
        # An update that changes nothing in view is not sent again.
        assert without_repeats(computed) == without_repeats(proven)


@pytest.mark.parametrize("name", ["nosuch", "nosuch.tape.zst"])
def test_a_path_that_is_not_there_is_no_such_file_whatever_its_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no such file: '{tmp_path / name}'"):
        taped_kraken([tmp_path / name])


def test_a_tape_that_is_cut_off_is_played_as_far_as_it_goes_and_says_so_once(tmp_path: Path) -> None:
    path, frames = tape_of(tmp_path, "kraken", "kraken-v2-2026-07-07")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with capture_logs() as logs:
        served = taped_kraken([path])
    (early,) = [entry for entry in logs if entry["event"] == "tape_ends_early"]
    rows = [
        row["trade_id"]
        for one in frames[: early["lines"] - 1]
        if one.get("channel") == "trade"
        for row in one["data"]
        if row["symbol"] == "BTC/USD"
    ]
    again = {row["trade_id"] for one in sent(served, "BTC/USD@trade") for row in one["data"]}
    assert again == set(rows)


def test_a_tape_of_coinbase_has_the_recorded_trades(tmp_path: Path) -> None:
    path, frames = tape_of(tmp_path, "coinbase", "coinbase-exchange-2026-07-07", most=1_200)
    matches = [one for one in frames if one["type"].endswith("match") and one["product_id"] == "BTC-USD"]
    again = sent(taped_coinbase([path]), "BTC-USD@matches")
    assert [values_of(one) for one in again] == [values_of(one) for one in matches]


def values_of(match: dict[str, Any]) -> tuple[Any, ...]:
    """What a tape keeps: the exchange prints some sizes with zeros at their end."""
    return match["trade_id"], match["side"], match["product_id"], Decimal(match["size"]), Decimal(match["price"])


def test_a_tape_of_another_venue_or_without_a_right_frame_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tape.zst"
    tape = TapeWriter(path, venue="kraken", symbols=("BTC-USD",))
    tape.write(b'{"channel":"trade","data":[{"symbol":"BTC/USD"}]}', 1)
    tape.close()
    with pytest.raises(ValueError, match="is a tape of kraken, not of coinbase"):
        taped_coinbase([path])
    with capture_logs() as logs, pytest.raises(ValueError, match=r"nothing to play in .*x\.tape\.zst"):
        taped_kraken([path])
    (entry,) = logs
    assert entry["first"].startswith("line 2: KeyError")
    (tmp_path / "x.gz").touch()
    with pytest.raises(ValueError, match="not one of a tape"):
        taped_kraken([tmp_path / "x.gz"])
