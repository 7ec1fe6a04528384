"""Where the fields of Binance's SBE messages are: schema 1 (`stream_1_0.xml`), version 0, little-endian.

A message is its header, a block of fields, groups of entries, and the symbol. Blocks and entries may be longer than
here: a later version of the schema adds fields at their ends, and their lengths stand before them.
Source: https://developers.binance.com/docs/binance-spot-api-docs/sbe-market-data-streams
"""

from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

SCHEMA: Final = 1
"""Id of the schema; all of its versions can be read."""
VERSION: Final = 0
"""The version of the layouts here."""
HEADER: Final = Struct("<HHHH")
"""Length of the block, template, schema, version."""
TRUE: Final = 1
"""A `true` on the wire; `false` is 0."""


class Group(NamedTuple):
    """A group of equal entries."""

    head: Struct
    """Length of an entry, number of entries."""
    entry: str
    """The fields of an entry, as `struct` reads them."""
    size: int
    """Their length, bytes."""


class Template(NamedTuple):
    """A kind of message."""

    kind: str
    """Of the stream, as in its name: `btcusdt@trade`."""
    root: Struct
    """Header and block together."""
    groups: tuple[Group, ...] = ()


def _group(head: str, entry: str) -> Group:
    return Group(Struct(head), entry, Struct(entry).size)


_SIDE: Final = _group("<HH", "<qq")
"""Levels of a side of a book: price, quantity."""
TRADES: Final = 10_000
BEST_BID_ASK: Final = 10_001
DEPTH_SNAPSHOT: Final = 10_002
DEPTH_DIFF: Final = 10_003
TEMPLATES: Final = {
    # event time, time of the transaction, exponents of price and quantity; of each trade id, price, quantity, is maker
    TRADES: Template("trade", Struct("<HHHHqqbb"), (_group("<HI", "<qqqB"),)),
    # event time, update id, exponents, bid price and quantity, ask price and quantity
    BEST_BID_ASK: Template("bestBidAsk", Struct("<HHHHqqbbqqqq")),
    # event time, update id, exponents
    DEPTH_SNAPSHOT: Template("depth20", Struct("<HHHHqqbb"), (_SIDE, _SIDE)),
    # event time, first and last update id, exponents
    DEPTH_DIFF: Template("depth", Struct("<HHHHqqqbb"), (_SIDE, _SIDE)),
}
"""Messages by the number of their template."""


@lru_cache(maxsize=64)
def entry_of(entry: str, size: int) -> Struct:
    """The entry of a group as long as the message says: what a later version added is skipped."""
    added = size - Struct(entry).size
    return Struct(f"{entry}{added}x" if added else entry)
