"""Queries of machines to a venue's REST side and to the stores, and their urgency.

A query is a value: the machine emits it, the bridge has it run elsewhere, and the answer returns to the same machine
like any other input. Without an answer a `QueryError` is returned.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeVar

from msgspec import Struct

from flows.model import Candle, Kline

T = TypeVar("T")


class Urgency(IntEnum):
    """Priority when the venue's limit does not allow all queries at once; the lowest first."""

    REPAIR = 0
    BOOK = 1
    HISTORY = 2
    AUDIT = 3


class Query(Struct, frozen=True):
    """A query about one instrument."""

    symbol: str

    @property
    def urgency(self) -> Urgency:
        """Its place in the queue."""
        return Urgency.HISTORY


class _QueryKinds(dict[type, bool]):
    """Whether a type is a query. Every item is checked, and this is faster than `isinstance`."""

    def __missing__(self, kind: type) -> bool:
        is_query = self[kind] = issubclass(kind, Query)
        return is_query


_is_query = _QueryKinds().__getitem__


def without_queries(items: Sequence[T | Query]) -> tuple[Sequence[T], list[Query]]:
    """The items that are no queries, and the queries, each in order. Without queries the same sequence is returned."""
    # mostly there is one item or none; what holds no query holds `T` alone, and a cast would cost at each call
    if not items or (not _is_query(type(items[0])) if len(items) == 1 else not any(map(_is_query, map(type, items)))):
        return items, []  # type: ignore[return-value]
    return [item for item in items if not isinstance(item, Query)], [item for item in items if isinstance(item, Query)]


class AccountQuery(Query, frozen=True):
    """All that an account has. `symbol` is empty. Answer: `AccountSnapshot`."""

    number: int = 0
    """The machine's own number of the query."""

    @property
    def urgency(self) -> Urgency:
        """Nothing of the account is known to be right without it."""
        return Urgency.BOOK


class AccountRenewQuery(Query, frozen=True):
    """Opens the private stream of an account anew, since changes were missed on it; `symbol` is empty. Answer: None."""

    reason: str = ""


class TradesQuery(Query, frozen=True):
    """The trades with ids from `first_id` to `last_id`, both inclusive. Answer: `list[Trade]`, ids rising, without
    those that the venue no longer has.
    """

    first_id: int
    last_id: int
    begin: int
    """Time of the last trade before them, ms UTC."""
    end: int
    """Time of the first trade after them."""

    @property
    def urgency(self) -> Urgency:
        """Candles wait for it."""
        return Urgency.REPAIR


class PastTradesQuery(TradesQuery, frozen=True):
    """Old trades for an import: no live trade waits for them."""

    @property
    def urgency(self) -> Urgency:
        """Live trades go first."""
        return Urgency.HISTORY


class MissedTradesQuery(TradesQuery, frozen=True):
    """Trades since the end of an earlier process; there may be none."""


class RefillQuery(TradesQuery, frozen=True):
    """Trades that were emitted before, and that the store has lost."""

    @property
    def urgency(self) -> Urgency:
        """Live trades go first."""
        return Urgency.HISTORY


class CheckableQuery(Query, frozen=True, kw_only=True):
    """A query whose answer may only be needed to check existing data; that can wait."""

    checks: bool = False

    @property
    def urgency(self) -> Urgency:
        """Its place in the queue."""
        return Urgency.AUDIT if self.checks else self._urgency

    @property
    def _urgency(self) -> Urgency:
        """Its place if it does not only check."""
        return Urgency.HISTORY


class DisputedTradesQuery(TradesQuery, frozen=True):
    """The trades of a closed candle that the exchange contradicts: those with fills within the ids, which are of single
    fills. Their stored versions may be wrong, also in their times: the ids decide. `begin` and `end` are the candle's
    period, both inclusive, near which they are.
    """

    @property
    def urgency(self) -> Urgency:
        """The exchange's own candle is served meanwhile."""
        return Urgency.AUDIT


class KlinesQuery(CheckableQuery, frozen=True):
    """The candles that open from `start` to `end`, both inclusive, the running one included. Answer: `list[Kline]`,
    oldest first; without ids (-1) where the venue does not report them.
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


class Continued(NamedTuple):
    """What was stored by another process: the last trade of a closed candle."""

    id: int
    time: int
    """Of the trade, ms UTC."""
    whole_from: int
    """End of the candle, ms UTC: nothing is missing of the periods from there on."""
    stored_until: int = 0
    """End of the newest closed candle that is stored, ms UTC."""
    before: tuple[Candle, ...] = ()
    """Closed candles of the running longer periods, as far as they are stored: those of each timeframe since the begin
    of the period of the next longer one.
    """


class LastTradeQuery(Query, frozen=True):
    """The newest stored trade. Answer: `(id, time)`, or `Continued`, or None without any. In that case the first trade
    ever received is recorded durably before the answer, so that a later process can query it.
    """

    first_id: int = -1
    """The first trade that this process received, and its time, ms UTC. -1: none has come; only what another process
    has handed on is an answer then.
    """
    first_time: int = 0

    @property
    def urgency(self) -> Urgency:
        """The first trades wait for it."""
        return Urgency.REPAIR


class StoreCheckQuery(Query, frozen=True):
    """Whether the store has the trades up to `last_id`, which were emitted before a restart. Answer: None when it has,
    or without a store; else `(id, time)` of its newest trade, or of what was before the first one ever received; the id
    is -1 when neither is known.
    """

    last_id: int
    counts_fills: bool = False
    """Ids are of single fills: an aggregate counts for all that it covers."""

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
    """Subscribes streams of the instrument anew, after a witness has shown that they miss messages. Answer: None, when
    the source has the request.
    """

    kinds: tuple[str, ...]
    """Named as in the setting `feed.streams`, klines by timeframe."""
    reason: str

    @property
    def urgency(self) -> Urgency:
        """Data is being missed."""
        return Urgency.REPAIR


class HistoryQuery(Query, frozen=True):
    """The candles missing in the store, for these timeframes until `now` (feed's time, ms UTC). Answer:
    `list[History]`.
    """

    timeframes: tuple[str, ...]
    now: int
    forced: str = ""
    """Id of a request: everything is fetched again, not only what is missing."""
    start: int = 0
    """With `end` the open times `[start, end)`: without an end until `now`, without a start a page before the end;
    default the newest.
    """
    end: int = 0
    is_stored: bool = False
    """Only read the stored candles of the span."""


class MarkQuery(Query, frozen=True):
    """The mark price at present. Answer: `MarkReport`."""


class FundingQuery(Query, frozen=True):
    """The payments of funding that were settled from `start` to `end`, ms UTC, both inclusive. Answer: `list[Funding]`,
    times rising; the first thousand or more, so one that does not reach the end is followed by another query.
    """

    start: int
    end: int


class FundingTermsQuery(Query, frozen=True):
    """How funding is settled. Answer: `FundingTerms`, or None where the exchange says nothing in particular."""

    @property
    def urgency(self) -> Urgency:
        """Nothing waits for it."""
        return Urgency.AUDIT


class OpenInterestQuery(Query, frozen=True):
    """The open interest at present. Answer: `OpenInterest`."""

    @property
    def urgency(self) -> Urgency:
        """The next one is soon."""
        return Urgency.AUDIT


class OpenInterestHistoryQuery(Query, frozen=True):
    """The open interest of the past, from `start` to `end`, ms UTC, both inclusive. Answer: `list[OpenInterest]`, times
    rising, as closely and as far back as the exchange has it.
    """

    start: int
    end: int

    @property
    def urgency(self) -> Urgency:
        """Nothing waits for it."""
        return Urgency.AUDIT


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
    """There is no answer, also after retries; the text has the reason."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting
        """Another try is of no use, e.g. because the venue no longer has it."""
