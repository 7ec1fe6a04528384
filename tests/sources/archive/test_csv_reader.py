import random
import zipfile
from pathlib import Path

import pytest

from flows.model import MARKET_FILL, WITHDRAWN_FILL, AggregateTrade
from sources.archive.csv_reader import BATCH, BLOCK_BYTES, ArchiveError, klines_of, trades_of
from sources.archive.files import ArchiveFile, file_named
from tests.fakes.recordings import pepe_trades, recording

HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
ROW = "7,1.5,2.25,10,12,1729987202368,true\n"
MICROSECONDS = "8,1.5,2.25,13,13,1729987202368123,False,True\n"


def named(name: str) -> ArchiveFile:
    file = file_named(name)
    assert file is not None
    return file


TRADES = named("XUSDT-aggTrades-2024-10-27.csv")
DAY = TRADES.begin, TRADES.end


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
    assert list(trades_of(TRADES, written(tmp_path, HEADER + ROW), *DAY)) == [[aggregate(7, 10, 12, sold=True)]]
    assert list(trades_of(TRADES, written(tmp_path, ROW), *DAY)) == [[aggregate(7, 10, 12, sold=True)]]
    assert list(trades_of(TRADES, written(tmp_path, MICROSECONDS), *DAY)) == [[aggregate(8, 13, 13, sold=False)]]


def test_a_whole_day_of_the_exchanges_own_file() -> None:
    path = recording("binance-spot-pepeusdt-2024-10-27") / "PEPEUSDT-aggTrades-2024-10-27.zip"
    batches = list(trades_of(named(path.name), path, *DAY))
    assert max(map(len, batches)) == BATCH
    ours = [(t.id, t.time, t.price, t.quantity, t.buyer_is_maker, t.first_id, t.last_id) for b in batches for t in b]
    assert ours == [(t.id, t.time, t.price, t.quantity, t.buyer_is_maker, t.first_id, t.last_id) for t in pepe_trades()]


def test_klines(tmp_path: Path) -> None:
    text = "1729987200000,1,4,0.5,2,10,1729987259999,20,7,3,6,0\n"
    [kline] = klines_of(named("XUSDT-1m-2024-10-27.csv"), written(tmp_path, text), *DAY)
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
            list(trades_of(TRADES, path, *DAY))
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", ROW)
        archive.writestr("b.csv", ROW)
    with pytest.raises(ArchiveError, match="holds 2 CSV files"):
        list(trades_of(TRADES, tmp_path / "two.zip", *DAY))


def test_the_text_is_cut_into_blocks_at_the_ends_of_lines(tmp_path: Path) -> None:
    row = "{},1.5,2.25,{},{},1729987202368,true\n"
    count = 2 * BLOCK_BYTES // len(row)
    path = written(tmp_path, HEADER + "".join(row.format(n, n, n) for n in range(count)).rstrip("\n"))
    assert path.stat().st_size > BLOCK_BYTES
    assert [t.id for batch in trades_of(TRADES, path, *DAY) for t in batch] == list(range(count))


def test_what_lies_outside_of_the_span_stays_out(tmp_path: Path) -> None:
    path = written(tmp_path, MICROSECONDS)
    time = 1_729_987_202_368
    assert list(trades_of(TRADES, path, time + 1, TRADES.end)) == []
    assert list(trades_of(TRADES, path, TRADES.begin, time)) == []
    assert len(list(trades_of(TRADES, path, time, time + 1))) == 1


def test_a_trade_that_was_taken_back_stays_out(tmp_path: Path) -> None:
    path = written(tmp_path, "6,0.00000000,0.00000000,-1,-1,1729987202368,true\n" + ROW)
    assert list(trades_of(TRADES, path, *DAY)) == [[aggregate(7, 10, 12, sold=True)]]


@pytest.mark.parametrize("torn", ["8,1.5,2.2", "8,1.5,2.25,13,13,,true\n", "8,high,2.25,13,13,1729987202368,true\n"])
def test_a_row_that_is_cut_off_or_no_row_is_an_error(tmp_path: Path, torn: str) -> None:
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(trades_of(TRADES, written(tmp_path, ROW + torn), *DAY))


def test_a_file_without_rows_has_no_trades(tmp_path: Path) -> None:
    assert list(trades_of(TRADES, written(tmp_path, HEADER), *DAY)) == []
    header = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote\n"
    minutes = named("XUSDT-1m-2024-10-27.csv")
    assert klines_of(minutes, written(tmp_path, header, minutes.name), *DAY) == []


@pytest.mark.parametrize(
    ("text", "why"), [("", "holds no rows"), (HEADER + HEADER + ROW, "rows that are not id, price")]
)
def test_an_empty_file_and_one_with_two_headers_are_named_in_plain_words(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ArchiveError, match=why):
        list(trades_of(TRADES, written(tmp_path, text), *DAY))


def test_a_file_under_a_wrong_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="other days than its name says"):
        list(trades_of(named("XUSDT-aggTrades-2024-10-28.csv"), written(tmp_path, ROW), 0, 1 << 62))


def changed(row: str, number: int = 8) -> str:
    """The next row."""
    return row.replace("7,", f"{number},", 1).replace("10,12", "13,13")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + ROW, "\ufeff" + HEADER + ROW, ROW.replace("\n", "\r\n"), ROW + "\n", ROW + "\r\n\r\n", "\n" + ROW,
        HEADER + "\n" + ROW, ROW.replace("true", "1"), ROW.replace("true", "TRUE"), ROW.rstrip("\n"),
        '"7","1.5","2.25","10","12","1729987202368","true"\n', ROW + ROW, ROW.replace("1.5", "1.5E+00"),
    ],
)  # fmt: skip
def test_what_other_programs_do_to_a_file_is_read_rightly(tmp_path: Path, text: str) -> None:
    assert list(trades_of(TRADES, written(tmp_path, text), *DAY)) == [[aggregate(7, 10, 12, sold=True)]]


@pytest.mark.parametrize(
    "text",
    [
        ROW + changed(ROW)[:-2], ROW + changed(ROW)[:-5], ROW + changed(ROW).replace("true", "t"),
        MICROSECONDS + MICROSECONDS.replace("8,", "9,", 1)[:-2],
        MICROSECONDS + MICROSECONDS.replace("8,", "9,", 1)[:-6],
        ROW.replace(",", ";"), ROW.replace("1729987202368", "1.72999E+12"), '7,"1,5",2.25,10,12,1729987202368,true\n',
        ROW + ROW.replace("1.5", "1.6"), ROW.replace("1.5", "nan"), ROW.replace("1.5", "-1"), ROW.replace("2.25", "0"),
        ROW + changed(ROW).replace("1729987202368", "1729887202368"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ArchiveError, match=f"{path.name} (cannot be|holds)"):
        list(trades_of(TRADES, path, *DAY))


def test_false_is_told_from_true_in_every_form(tmp_path: Path) -> None:
    for form in ("false", "False", "FALSE", "0"):
        [[trade]] = trades_of(TRADES, written(tmp_path, ROW.replace("true", form)), *DAY)
        assert not trade.buyer_is_maker


def test_a_trade_that_was_taken_back_keeps_its_id_where_it_is_wanted(tmp_path: Path) -> None:
    path = written(tmp_path, ROW + "8,0.00000000,0.00000000,13,12,1729987202368,true\n")
    [[first, second]] = trades_of(TRADES, path, *DAY, withdrawn=True)
    assert (first.fill, second.id, second.fill) == (MARKET_FILL, 8, WITHDRAWN_FILL)


KLINE = "1729987200000,1,4,0.5,2,10,1729987259999,20,7,3,6,0\n"


@pytest.mark.parametrize(
    ("said", "false"),
    [
        ("1729987200000", "1729987201000"), ("1729987259999", "1729987269999"), (",4,", ",0.1,"), (",20,", ",2000,"),
        (",3,", ",30,"), (",0.5,", ",nan,"), (",0.5,", ",0,"), (",1,4,0.5,2,", ",0,0,0,0,"), (",10,", ",nan,"),
        (",4,", ",inf,"), (",10,", ",-10,"), (",7,", ",-7,"),
    ],
)  # fmt: skip
def test_a_candle_that_cannot_be_true_is_refused(tmp_path: Path, said: str, false: str) -> None:
    minutes = named("XUSDT-1m-2024-10-27.csv")
    with pytest.raises(ArchiveError, match="cannot be true"):
        klines_of(minutes, written(tmp_path, KLINE.replace(said, false, 1), minutes.name), *DAY)


def test_why_a_candle_cannot_be_true_is_said_of_the_value_that_is_wrong(tmp_path: Path) -> None:
    minutes = named("XUSDT-1m-2024-10-27.csv")
    for said, false, why in (
        (",0.5,", ",nan,", "price that is not a number"),
        (",0.5,", ",0,", "a price of 0"),
        (",1,4,0.5,2,", ",1,0.5,4,2,", "low 4.0 is above its high 0.5"),
        (",10,", ",nan,", "volume that is not a number"),
    ):
        with pytest.raises(ArchiveError, match=why):
            klines_of(minutes, written(tmp_path, KLINE.replace(said, false, 1), minutes.name), *DAY)


def test_a_minute_that_stands_twice_counts_once_and_not_at_all_with_two_values(tmp_path: Path) -> None:
    minutes = named("XUSDT-1m-2024-10-27.csv")
    [kline] = klines_of(minutes, written(tmp_path, KLINE + KLINE, minutes.name), *DAY)
    assert kline.volume == 10
    with pytest.raises(ArchiveError, match="two klines of 1729987200000 that differ"):
        klines_of(minutes, written(tmp_path, KLINE + KLINE.replace(",7,", ",8,"), minutes.name), *DAY)


# --- the names of a header ---

FIELDS = dict(
    zip(
        ("id", "price", "quantity", "first", "last", "time", "maker"),
        ("7", "1.5", "2.25", "10", "12", "1729987202368", "true"),
        strict=True,
    )
)
"""The fields of `ROW`, by the names of some header."""
SPELLINGS = [
    "agg_trade_id price quantity first_trade_id last_trade_id transact_time is_buyer_maker",
    "aggTradeId price qty firstTradeId lastTradeId timestamp isBuyerMaker",
    "Aggregate tradeId,Price,Quantity,First tradeId,Last tradeId,Timestamp,Was the buyer the maker",
    "a p q f l T m",
    "id price quantity first last time maker",
]


def table(*columns: tuple[str, str]) -> str:
    """A header and one row, by the name and field of each column."""
    return "".join(",".join(line) + "\n" for line in zip(*columns, strict=True))


@pytest.mark.parametrize("names", SPELLINGS)
@pytest.mark.parametrize("seed", range(4))
def test_columns_are_read_by_the_names_of_the_header_in_any_order(tmp_path: Path, names: str, seed: int) -> None:
    spelled = names.split("," if "," in names else " ")
    columns = [*zip(spelled, FIELDS.values(), strict=True), ("is_best_match", "true")]
    random.Random(seed).shuffle(columns)
    path = written(tmp_path, table(*columns))
    assert list(trades_of(TRADES, path, *DAY)) == [[aggregate(7, 10, 12, sold=True)]]


@pytest.mark.parametrize(
    "names",
    [
        (
            "open_time open high low close volume close_time quote_volume count "
            "taker_buy_volume taker_buy_quote_volume ignore"
        ),
        "timestamp open high low close volume close_time quote_av trades tb_base_av tb_quote_av ignore",
        (
            "Open time,Open,High,Low,Close,Volume,Close time,Quote asset volume,Number of trades,"
            "Taker buy base asset volume,Taker buy quote asset volume,Ignore"
        ),
        "t o h l c v T q n V Q B",
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_klines_are_read_by_the_names_of_the_header_in_any_order(tmp_path: Path, names: str, seed: int) -> None:
    row = "1729987200000,1,4,0.5,2,10,1729987259999,20,7,3,6,0"
    file = named("XUSDT-1m-2024-10-27.csv")
    [expected] = klines_of(file, written(tmp_path, row + "\n"), *DAY)
    columns = list(zip(names.split("," if "," in names else " "), row.split(","), strict=True))
    random.Random(seed).shuffle(columns)
    assert klines_of(file, written(tmp_path, table(*columns)), *DAY) == [expected]


@pytest.mark.parametrize(
    ("header", "named_in_text"),
    [
        ("id,price,quantity,first,last,time,colour", ("colour", "buyer_is_maker")),
        ("id,price,quantity,first,last,time", ("buyer_is_maker",)),
        ("id,price,price,quantity,last,time,maker", ("price", "first_id")),
        (",id,price,quantity,first,last,time,maker", ("''",)),
        ("id,price,quantity,first,last,time,maker,note", ("note",)),
        ("id;price;quantity;first;last;time;maker", ("id;price;quantity;first;last;time;maker",)),
        ("open_time,open,high,low,close,volume,close_time", ("open_time", "quantity")),
    ],
)
def test_a_header_with_unknown_or_missing_names_is_refused_with_them(
    tmp_path: Path, header: str, named_in_text: tuple[str, ...]
) -> None:
    rows = ",".join(["1"] * (header.count(",") + 1)) + "\n"
    with pytest.raises(ArchiveError) as refused:
        list(trades_of(TRADES, written(tmp_path, header + "\n" + rows), *DAY))
    assert all(repr(name).strip("\"'") in str(refused.value) for name in named_in_text)
    assert TRADES.name in str(refused.value)


@pytest.mark.parametrize("row", [ROW.strip() + ",true,9\n", "0," + ROW, ROW.rsplit(",", 1)[0] + "\n"])
def test_rows_with_more_or_fewer_fields_than_the_header_has_names_are_an_error(tmp_path: Path, row: str) -> None:
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(trades_of(TRADES, written(tmp_path, HEADER + row), *DAY))


def test_a_first_row_with_a_damaged_field_is_no_header(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(trades_of(TRADES, written(tmp_path, "x" + ROW + changed(ROW)), *DAY))


def test_a_large_file_with_its_ids_in_another_column_is_sorted_by_them(tmp_path: Path) -> None:
    row = "1.5,2.25,{0},{0},1729987202368,true,{0}\n"
    count = 9 * BLOCK_BYTES // len(row.format(100_000))
    order = [*range(count // 2, count), *range(count // 2)]
    path = written(
        tmp_path, "price,qty,first_trade_id,last_trade_id,time,isBuyerMaker,id\n" + "".join(map(row.format, order))
    )
    assert [t.id for batch in trades_of(TRADES, path, *DAY) for t in batch] == list(range(count))
