"""The recordings of real markets beside the project: read in place, and the test skips where they are missing."""

import csv
import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.model import AggregateTrade, Trade

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def recording(name: str) -> Path:
    """Path of a recording, or the test is skipped."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the recording {name} is not on this machine")
    return path


def frames_of(path: Path) -> Iterator[bytes]:
    """The messages of a gzipped recording, without their receive times and without the bare REST snapshot."""
    with gzip.open(path) as lines:
        for line in lines:
            payload = line.rstrip().partition(b" ")[2]
            if payload.startswith(b'{"stream"'):
                yield payload


def line_of(payload: bytes) -> str:
    """The line by which a live source would have received a frame."""
    head = payload[:64]
    return "public" if b"@depth" in head or b"@bookTicker" in head else "market"


def pepe_trades() -> list[Trade]:
    """A whole day of PEPEUSDT aggregate trades, the exchange's own daily file."""
    archive = zipfile.ZipFile(recording("binance-spot-pepeusdt-2024-10-27") / "PEPEUSDT-aggTrades-2024-10-27.zip")
    with archive.open(archive.namelist()[0]) as file:
        rows = csv.reader(io.TextIOWrapper(file))
        return [
            AggregateTrade(
                symbol="PEPEUSDT",
                id=int(row[0]),
                time=int(row[5]),
                price=float(row[1]),
                quantity=float(row[2]),
                buyer_is_maker=row[6].lower() == "true",
                event_time=int(row[5]),
                first_id=int(row[3]),
                last_id=int(row[4]),
            )
            for row in rows
        ]


def official_klines(path: Path) -> list[dict[str, float]]:
    """Rows of an official kline file; what it does not tell is left out."""
    with path.open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def pepe_frames() -> list[bytes]:
    """The day of PEPEUSDT as the frames of its aggTrade stream, with the file's own digits."""
    archive = zipfile.ZipFile(recording("binance-spot-pepeusdt-2024-10-27") / "PEPEUSDT-aggTrades-2024-10-27.zip")
    with archive.open(archive.namelist()[0]) as file:
        return [
            (
                f'{{"stream":"pepeusdt@aggTrade","data":{{"e":"aggTrade","E":{time},"s":"PEPEUSDT","a":{number},'
                f'"p":"{price}","q":"{quantity}","f":{first},"l":{last},"T":{time},"m":{maker.lower()},"M":true}}}}'
            ).encode()
            for number, price, quantity, first, last, time, maker, _ in csv.reader(io.TextIOWrapper(file))
        ]


def trx_frames() -> list[bytes]:
    """48 minutes of TRXUSDT trades with times in microseconds."""
    path = recording("binance-spot-trxusdt-2025-03-04") / "trade_stream_us.csv"
    with path.open() as file:
        return [
            (
                f'{{"stream":"{row["Stream"]}","data":{{"e":"trade","E":{row["EventTime"]},"s":"{row["Symbol"]}",'
                f'"t":{row["TradeId"]},"p":"{row["Price"]}","q":"{row["Quantity"]}","T":{row["TransactionTime"]},'
                f'"m":{"true" if row["IsBuyerMarketMaker"] == "1" else "false"},"M":true}}}}'
            ).encode()
            for row in csv.DictReader(file)
        ]
