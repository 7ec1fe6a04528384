"""What machines query of a venue's REST side, and how urgent it is.

A query is a value: the machine makes it, the bridge has it run elsewhere, and the answer comes back to the same machine
like any other input. When there is no answer, a `QueryError` comes instead.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import TypeVar

from msgspec import Struct

from flows.model import Candle, Kline

T = TypeVar("T")


class Urgency(IntEnum):
    """Who goes first when the venue's limit does not allow everything at once."""

    REPAIR = 0
    BOOK = 1
    HISTORY = 2
    AUDIT = 3


class Query(Struct, frozen=True):
    """A question about one instrument."""

    symbol: str

    @property
    def urgency(self) -> Urgency:
        """Its place in the queue."""
        return Urgency.HISTORY


class _QueryKinds(dict[type, bool]):
    """Whether a type is one of queries. Every item is looked at, and this is quicker than `isinstance`."""

    def __missing__(self, kind: type) -> bool:
        is_query = self[kind] = issubclass(kind, Query)
        return is_query


_is_query = _QueryKinds().__getitem__


def without_queries(items: Sequence[T | Query]) -> tuple[Sequence[T], list[Query]]:
    """The items that are no queries, and the queries among them, each in order. Without any it is the same sequence."""
    if not any(map(_is_query, map(type, items))):  # then it holds `T` alone; a cast would cost at each call
        return items, []  # type: ignore[return-value]
    return [item for item in items if not isinstance(item, Query)], [item for item in items if isinstance(item, Query)]


class TradesQuery(Query, frozen=True):
    """The trades with ids from `first_id` to `last_id`, both inclusive. Answer: `list[Trade]`, ids rising, without
    those that the venue no longer has.
    """

    first_id: int
    last_id: int
    begin: int
    """Time of the last trade before them, ms UTC."""
    end: int
    """Time of the first trade behind them."""

    @property
    def urgency(self) -> Urgency:
        """Candles wait for it."""
        return Urgency.REPAIR


class PastTradesQuery(TradesQuery, frozen=True):
    """The same of old times, for an import: no live trade waits for it."""

    @property
    def urgency(self) -> Urgency:
        """Live trades go first."""
        return Urgency.HISTORY


class MissedTradesQuery(TradesQuery, frozen=True):
    """The same of what was traded since an earlier life of this process. Perhaps nothing was."""


class RefillQuery(TradesQuery, frozen=True):
    """The same of trades that were handed on before, and that the store has lost."""

    @property
    def urgency(self) -> Urgency:
        """Live trades go first."""
        return Urgency.HISTORY


class CheckableQuery(Query, frozen=True, kw_only=True):
    """A question whose answer may be wanted only to check what is there already; that can wait."""

    checks: bool = False

    @property
    def urgency(self) -> Urgency:
        """Its place in the queue."""
        return Urgency.AUDIT if self.checks else self._urgency

    @property
    def _urgency(self) -> Urgency:
        """The same of one that fills something."""
        return Urgency.HISTORY


class DisputedTradesQuery(TradesQuery, frozen=True):
    """The trades of a closed candle that the exchange contradicts: those whose fills lie within the ids, which are of
    single fills, and that were made from `begin` to `end`, both inclusive. What was stored of them may be wrong.
    """

    @property
    def urgency(self) -> Urgency:
        """The exchange's own candle is served meanwhile."""
        return Urgency.AUDIT


class KlinesQuery(CheckableQuery, frozen=True):
    """The candles that open from `start` to `end`, both inclusive, the running one included. Answer: `list[Kline]`,
    oldest first; without ids (-1) where the venue does not give them.
    """

    timeframe: str
    start: int
    end: int


class BookQuery(CheckableQuery, frozen=True):
    """The best `levels` of each side of the book. Answer: `BookSnapshot`."""

    levels: int

    @property
    def _urgency(self) -> Urgency:
        """A book that is not in sync is of no use until then."""
        return Urgency.BOOK


class LastTradeQuery(Query, frozen=True):
    """The newest trade that is stored already. Answer: `(id, time)`, or None without any. Where there is none, the
    first trade that was ever seen is noted for good before the answer, so that a later life can query it.
    """

    first_id: int = -1
    """The first trade that was seen in this life, and its time, ms UTC."""
    first_time: int = 0

    @property
    def urgency(self) -> Urgency:
        """The first trades wait for it."""
        return Urgency.REPAIR


class StoreCheckQuery(Query, frozen=True):
    """Whether the store has the trades up to `last_id`, which were handed on before a restart. Answer: None when it
    has, or when there is no store; else `(id, time)` of the newest that it has, or of what was before the first one
    that was ever seen, with the id -1 where neither is known.
    """

    last_id: int
    counts_fills: bool = False
    """Ids are of single fills: an aggregate stands for all that it covers."""

    @property
    def urgency(self) -> Urgency:
        """Nothing waits for it."""
        return Urgency.HISTORY


class TimeQuery(Query, frozen=True):
    """The venue's own time, whatever the symbol. Answer: ms UTC."""

    @property
    def urgency(self) -> Urgency:
        """Messages are refused until then."""
        return Urgency.REPAIR


class RenewQuery(Query, frozen=True):
    """Streams of the instrument are to be subscribed anew, as a witness says that they have missed something. Answer:
    None, when the source has the request.
    """

    kinds: tuple[str, ...]
    """In the words of the setting `feed.streams`, klines by timeframe."""
    reason: str

    @property
    def urgency(self) -> Urgency:
        """Data is being missed."""
        return Urgency.REPAIR


class HistoryQuery(Query, frozen=True):
    """What the store lacks of these timeframes until `now` (feed's time, ms UTC). Answer: `list[History]`."""

    timeframes: tuple[str, ...]
    now: int
    forced: str = ""
    """Requested under this name: everything is fetched again, not only what is missing."""
    start: int = 0
    """With `end` the open times `[start, end)` that are wanted: until `now` without an end, and without a start a page
    before the end; default the newest.
    """
    end: int = 0
    is_stored: bool = False
    """Only what is stored of the span is wanted."""


class History(Struct, frozen=True):
    """Candles of the venue over one timeframe, and what is stored of the same periods."""

    timeframe: str
    klines: list[Kline]
    """Oldest first; closed ones."""
    stored: dict[int, Candle]
    """By open time."""
    error: str = ""
    """Why there are no klines, or not all."""


class QueryError(Exception):
    """There is no answer, also after retries; the text says why."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting
        """Another try is of no use, e.g. because the venue no longer has it."""
