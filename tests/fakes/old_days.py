"""Files of old days, as the archive has them, made of a recorded one."""

import hashlib
import zipfile
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from tests.fakes.recordings import official_klines, recording

PEPE = "binance-spot-pepeusdt-2024-10-27"
DAY_MS = 86_400_000
FIRST = date(2024, 10, 27)


def shifted_days(count: int, *, every: int = 1) -> list[pl.DataFrame]:
    """The recorded day, and the same again for the days after it, with ids and times that go on. With `every`,
    only the first of so many trades is there, as if the others had not been.
    """
    source = recording(PEPE) / "PEPEUSDT-aggTrades-2024-10-27.zip"
    with zipfile.ZipFile(source) as archive:
        text = archive.read(archive.namelist()[0])
    names = ["id", "price", "quantity", "first", "last", "time", "maker", "best"]
    frame = pl.read_csv(
        text, has_header=False, new_columns=names, schema_overrides=dict.fromkeys(names[1:3], pl.String)
    )
    if every > 1:
        frame = _thinned(frame, every)
    fills = frame["last"][-1] - frame["first"][0] + 1
    return [
        frame.with_columns(
            pl.col("id") + number * frame.height,
            pl.col("first", "last") + number * fills,
            pl.col("time") + number * DAY_MS,
        )
        for number in range(count)
    ]


def _thinned(frame: pl.DataFrame, every: int) -> pl.DataFrame:
    """Each trade is of one fill, and ids go on from one to the next."""
    thin = frame.gather_every(every)
    ids = pl.int_range(pl.len(), dtype=pl.Int64)
    return thin.with_columns(id=ids + frame["id"][0], first=ids + frame["first"][0], last=ids + frame["first"][0])


def days(folder: Path, count: int, *, symbol: str = "PEPEUSDT", every: int = 1) -> Path:
    """A file for each of so many days from the recorded one on."""
    folder.mkdir(exist_ok=True)
    for number, frame in enumerate(shifted_days(count, every=every)):
        day = FIRST + timedelta(days=number)
        frame.write_csv(folder / f"{symbol}-aggTrades-{day}.csv", include_header=False)
    return folder


def months(folder: Path, count: int, *, symbol: str, every: int = 1) -> Path:
    """A file for each month that so many days from the recorded one on reach into."""
    folder.mkdir(exist_ok=True)
    by_month: dict[str, list[pl.DataFrame]] = {}
    for number, frame in enumerate(shifted_days(count, every=every)):
        by_month.setdefault(f"{FIRST + timedelta(days=number):%Y-%m}", []).append(frame)
    for month, frames in by_month.items():
        pl.concat(frames).write_csv(folder / f"{symbol}-aggTrades-{month}.csv", include_header=False)
    return folder


def sealed(folder: Path) -> Path:
    """A folder whose files have their checksums beside them, so that each is known to be whole."""
    for path in list(folder.glob("*.csv")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return folder


def daily_kline(folder: Path, number: int, *, symbol: str = "PEPEUSDT") -> dict[str, float]:
    """The exchange's own candle of the recorded day, as that of a day after it; gives the recorded one."""
    [row] = official_klines(recording(PEPE) / "binance_spot_PEPEUSDT_1d_2024-10-27.csv")
    fields = (row["open"], row["high"], row["low"], row["close"], row["volume"])
    rest = (row["quote_volume"], int(row["count"]), row["taker_buy_base"], row["taker_buy_quote"], 0)
    opened = int(row["open_time_ms"]) + number * DAY_MS
    line = ",".join(map(str, (opened, *fields, opened + DAY_MS - 1, *rest)))
    (folder / f"{symbol}-1d-{FIRST + timedelta(days=number)}.csv").write_text(line + "\n")
    return row
