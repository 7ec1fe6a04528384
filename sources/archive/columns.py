"""Which columns a file of the archive has, and in which order: by the names of its header, or as the exchange writes
them where it has none.

The exchange writes headers in some markets and none in others, and has changed their spelling; other programs have
spellings, and an order, of their own. A column that is read by its place under another name would be taken for
something that it is not, and most of such rows look plausible. So a header decides, and one with a name that is not
known is refused.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
"""What some programs put before the first row."""
MOST_NAMES: Final = 40
"""Most columns that are named in a message."""


class ColumnsError(Exception):
    """A row or header does not have the columns of a table; the text says which."""


class Table(Struct, frozen=True):
    """The columns of one kind of file."""

    columns: tuple[str, ...]
    """Those that are needed, as the exchange orders them."""
    further: tuple[str, ...]
    """What may follow them, as the exchange orders it; not needed."""
    spellings: Mapping[str, str]
    """The column, or further one, that a name in a header means. One letter is compared as it is, a longer name in
    small letters, with nothing but letters and digits.
    """


def _table(columns: Mapping[str, str], further: Mapping[str, str]) -> Table:
    spellings = {name: name for name in columns} | {name: name for name in further}
    for column, names in {**columns, **further}.items():
        spellings |= dict.fromkeys(names.split(), column)
    return Table(tuple(columns), tuple(further), {_plain(spelling): column for spelling, column in spellings.items()})


def _plain(name: str) -> str:
    """A name without what spellings differ in: `aggTradeId`, `agg_trade_id` and `Agg trade ID` are one."""
    return name if len(name) == 1 else "".join(filter(str.isalnum, name.lower()))


_TIME: Final = "T transact_time transaction_time trade_time timestamp"
_MAKER: Final = "m is_buyer_maker is_buyer_the_maker was_the_buyer_the_maker buyer_maker maker"
_BEST: Final = "M was_the_trade_the_best_price_match best_match is_best_price_match was_best_price"

TRADES: Final = _table(
    {
        "id": "a agg_trade_id aggregate_trade_id agg_id trade_id",
        "price": "p",
        "quantity": "q qty size",
        "first_id": "f first_trade_id first",
        "last_id": "l last_trade_id last",
        "time": _TIME,
        "buyer_is_maker": _MAKER,
    },
    {
        "is_best_match": _BEST,
        "quote_quantity": "quote_qty",
    },
)
"""Aggregated trades."""
FILLS: Final = _table(
    {
        "id": "trade_id",
        "price": "p",
        "quantity": "q qty size",
        "quote_quantity": "quote_qty quote_q",
        "time": _TIME,
        "buyer_is_maker": _MAKER,
    },
    {"is_best_match": _BEST},
)
"""Single fills."""
KLINES: Final = _table(
    {
        "open_time": "t time timestamp open_timestamp open_time_ms kline_open_time start_time",
        "open": "o open_price",
        "high": "h high_price",
        "low": "l low_price",
        "close": "c close_price",
        "volume": "v base_volume base_asset_volume",
        "close_time": "T close_timestamp close_time_ms kline_close_time end_time",
        "quote_volume": "q quote_asset_volume quote_av qav",
        "trades": "n count number_of_trades num_trades trade_count trades_count n_trades",
        "taker_buy_volume": (
            "V taker_buy_base_asset_volume taker_buy_base_volume taker_buy_base taker_base_volume taker_base_vol "
            "tb_base_av tbbav"
        ),
        "taker_buy_quote_volume": (
            "Q taker_buy_quote_asset_volume taker_buy_quote taker_quote_volume taker_quote_vol tb_quote_av tbqav"
        ),
    },
    {"ignore": "B ignored unused unused_field"},
)
"""Klines of all intervals."""


def is_header(row: bytes) -> bool:
    """Whether a row holds names: none of its fields is a number."""
    return not any(map(_is_number, _fields(row)))


def columns_of(row: bytes, table: Table) -> list[str]:
    """The name of each column in the order of a file, by its header, or its first row where it has none. Of what a row
    has behind the columns of the table, unknown ones are called by their place. `ColumnsError` for a row that is too
    short, and a header that names something unknown, one column twice, or lacks one.
    """
    fields = _fields(row)
    if is_header(row):
        return _named(fields, table)
    if len(fields) < len(table.columns):
        raise ColumnsError(f"holds no table of {', '.join(table.columns)}")
    known = [*table.columns, *table.further[:1]]
    return [*known[: len(fields)], *(f"column_{number}" for number in range(len(known), len(fields)))]


def _named(names: list[str], table: Table) -> list[str]:
    found = [table.spellings.get(_plain(name), "") for name in names]
    unknown = [name for name, column in zip(names, found, strict=True) if not column]
    twice = [column for column, count in Counter(found).items() if column and count > 1]
    missing = [column for column in table.columns if column not in found]
    wrong = [
        f"{what} {', '.join(repr(name) for name in columns[:MOST_NAMES])}"
        for what, columns in (("has the unknown", unknown), ("has more than one", twice), ("lacks", missing))
        if columns
    ]
    if wrong:
        raise ColumnsError(
            f"cannot be read: its header {' and '.join(wrong)}; known are the names that the exchange gives to "
            f"{', '.join(table.columns)}"
        )
    return found


def _fields(row: bytes) -> list[str]:
    return [field.strip(' \t"') for field in row.decode(errors="replace").strip("\r\n").split(",")]


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
