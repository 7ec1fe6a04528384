import zipfile
from pathlib import Path

import pytest

from sources.replay.tape.trade_files import is_trade_file, read_trades


def test_aggregates_of_spot_have_no_header(tmp_path: Path) -> None:
    path = tmp_path / "PEPEUSDT-aggTrades-2024-10-27.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.csv", "60953854,0.00000908,3591711.00,5,6,1729987202368,False,True\n")
    (file,) = read_trades(path)
    assert (file.symbol, file.aggregated, file.end_ms) == ("PEPEUSDT", True, 1_730_073_600_000)
    assert file.rows.rows() == [
        (60953854, 5, 6, 1729987202368, 1729987202368, "0.00000908", "3591711.00", False),
    ]


def test_trades_of_futures_have_one(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-trades-2024-08-08.csv"
    path.write_text("id,price,qty,quote_qty,time,is_buyer_maker\n8,61800.1,0.002,123.6,1723161255343,true\n")
    (file,) = read_trades(path)
    assert file.rows.rows() == [(8, 8, 8, 1723161255343, 1723161255343, "61800.1", "0.002", True)]
    assert not file.aggregated


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_header_decides_which_column_is_which(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "BTCUSDT-aggTrades-2024-08-08.csv"
    path.write_text(
        f"{mark}transact_time,agg_trade_id,quantity,price,is_buyer_maker,last_trade_id,first_trade_id\n"
        "1723161255343,8,0.002,61800.1,true,12,11\n"
    )
    (file,) = read_trades(path)
    assert file.rows.rows() == [(8, 11, 12, 1723161255343, 1723161255343, "61800.1", "0.002", True)]


def test_a_header_with_an_unknown_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-trades-2024-08-08.csv"
    path.write_text("id,price,qty,quote_qty,moment,is_buyer_maker\n8,61800.1,0.002,123.6,1723161255343,true\n")
    with pytest.raises(ValueError, match="moment"):
        read_trades(path)


def test_microseconds_are_reduced(tmp_path: Path) -> None:
    path = tmp_path / "trade_stream.csv"
    path.write_text(
        "TimestampOfReceive,Stream,EventType,EventTime,TransactionTime,Symbol,TradeId,Price,Quantity,IsBuyerMarketMaker\n"
        "1741046401272286,x@trade,trade,1741046401271969,1741046401271497,TRXUSDT,348656870,0.2312,2619.4,1\n"
    )
    (file,) = read_trades(path)
    row = (348656870, 348656870, 348656870, 1741046401271, 1741046401271, "0.2312", "2619.4", True)
    assert (file.symbol, file.rows.rows()) == ("TRXUSDT", [row])


def test_other_files_hold_no_trades(tmp_path: Path) -> None:
    path = tmp_path / "klines.csv"
    path.write_text("open_time_ms,open\n1,2\n")
    assert is_trade_file(path)
    assert read_trades(path) == []
    assert not is_trade_file(Path("LICENSE"))


def test_an_archive_of_several_files_is_refused_and_not_the_first_of_them_played(tmp_path: Path) -> None:
    path = tmp_path / "PEPEUSDT-aggTrades-2024-10-27.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.csv", "1,0.5,2,1,1,1729987202368,False,True\n")
        archive.writestr("two.csv", "2,0.5,2,2,2,1729987202368,False,True\n")
    with pytest.raises(ValueError, match=r"\.zip cannot be read: it holds 2 CSV files, and should hold one"):
        read_trades(path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "PEPEUSDT-aggTrades-2024-10-27.zip"
    path.write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"2024-10-27\.zip cannot be read: File is not a zip file"):
        read_trades(path)


def test_a_daily_file_that_is_too_narrow(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-trades-2024-08-08.csv"
    path.write_text("1,2,3\n")
    with pytest.raises(ValueError, match="no table of id, price, quantity"):
        read_trades(path)
