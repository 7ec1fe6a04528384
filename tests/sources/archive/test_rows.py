import zipfile
from pathlib import Path

import pytest

from flows.model import AggregateTrade
from sources.archive.names import ArchiveFile, file_named
from sources.archive.rows import BATCH, ArchiveError, klines_of, trades_of
from tests.fakes.recordings import pepe_trades, recording

HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
ROW = "7,1.5,2.25,10,12,1729987202368,true\n"
MICROSECONDS = "8,1.5,2.25,13,13,1729987202368123,False,True\n"


def named(name: str) -> ArchiveFile:
    file = file_named(name)
    assert file is not None
    return file


TRADES = named("XUSDT-aggTrades-2024-10-27.csv")


def aggregate(number: int, first: int, last: int, *, sold: bool) -> AggregateTrade:
    time = 1_729_987_202_368
    return AggregateTrade(
        symbol="XUSDT", id=number, time=time, price=1.5, quantity=2.25, buyer_is_maker=sold, event_time=time,
        first_id=first, last_id=last,
    )  # fmt: skip


def written(folder: Path, text: str, name: str = TRADES.name) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_header_a_further_column_and_microseconds_make_no_difference(tmp_path: Path) -> None:
    assert list(trades_of(TRADES, written(tmp_path, HEADER + ROW))) == [[aggregate(7, 10, 12, sold=True)]]
    assert list(trades_of(TRADES, written(tmp_path, ROW))) == [[aggregate(7, 10, 12, sold=True)]]
    assert list(trades_of(TRADES, written(tmp_path, MICROSECONDS))) == [[aggregate(8, 13, 13, sold=False)]]


def test_a_whole_day_of_the_exchanges_own_file() -> None:
    path = recording("binance-spot-pepeusdt-2024-10-27") / "PEPEUSDT-aggTrades-2024-10-27.zip"
    batches = list(trades_of(named(path.name), path))
    assert max(map(len, batches)) == BATCH
    ours = [(t.id, t.time, t.price, t.quantity, t.buyer_is_maker, t.first_id, t.last_id) for b in batches for t in b]
    assert ours == [(t.id, t.time, t.price, t.quantity, t.buyer_is_maker, t.first_id, t.last_id) for t in pepe_trades()]


def test_klines(tmp_path: Path) -> None:
    text = "1729987200000,1,4,0.5,2,10,1729987259999,20,7,3,6,0\n"
    [kline] = klines_of(named("XUSDT-1m-2024-10-27.csv"), written(tmp_path, text))
    assert (kline.open_time, kline.high, kline.volume, kline.quote_volume, kline.trades) == (
        1_729_987_200_000, 4.0, 10.0, 20.0, 7,
    )  # fmt: skip
    assert (kline.timeframe, kline.taker_buy_volume, kline.taker_buy_quote_volume, kline.is_closed) == (
        "1m", 3.0, 6.0, True,
    )  # fmt: skip


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (
        written(tmp_path, "no table at all\n"),
        written(tmp_path, "PK broken", "XUSDT-aggTrades-2024-10-27.zip"),
        tmp_path / "absent.csv",
    ):
        with pytest.raises(ArchiveError, match=path.name):
            list(trades_of(TRADES, path))
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", ROW)
        archive.writestr("b.csv", ROW)
    with pytest.raises(ArchiveError, match="holds 2 CSV files"):
        list(trades_of(TRADES, tmp_path / "two.zip"))
