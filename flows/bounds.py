"""Validity of a single event: the bounds between its fields, for every venue.

All input is checked by these rules: live frames (step `validate`, trades by the sequencer), answers of REST, files.
Bounds of single fields are part of the venue's wire types, which refuse invalid values while decoding. Rules about the
order of events are checked where the order is kept: ids by the sequencer and the book, the venue's time by the step
`validate`.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from flows.model import (
    DAY_MS,
    MARKET_FILL,
    VOLUMES,
    AggregateTrade,
    BookDelta,
    BookSnapshot,
    BookTicker,
    ContractReport,
    Kline,
    LiquidationReport,
    MarkReport,
    MiniTicker,
    Ticker,
    Trade,
    timeframe_ms,
)
from flows.texts import counted

MICROSECONDS_FROM = 10**14
"""A time from here on counts microseconds: in milliseconds it would lie in the year 5138."""
TRADE_AHEAD_MS = 5_000
"""How far a trade may be later than its report: servers of a venue may differ by so much."""
BACK_MS = 5_000
"""How far the time of a trade may be before that of one with a smaller id, for the same reason."""
TRADE_AGE_MS = DAY_MS
"""Longest time from a trade to its report."""
MOST_FILLS = 1_000_000
"""Fills in an aggregate."""
MOST_UPDATES = 1_000_000
"""Updates of a book in one difference."""
KLINE_AHEAD_MS = 1_000
"""How far a kline may be sent before its period begins. A closed one is sent after its end: until then trades come."""
KLINE_AGE_MS = 300_000
"""Longest time from the end of a period to its kline: a stream reports the running period and the one before."""
TICKER_WINDOW_MS = 90_000_000
"""Longest window of a 24-hour ticker; USD-M begins it on a whole minute."""
FUNDING_PAST_MS = 60_000
"""How long a report may still name a time of funding that is over."""
FUNDING_AHEAD_MS = 2 * DAY_MS
"""How far the next funding may be ahead; exchanges settle every eight hours at the longest."""
MOST_PREMIUM = 10.0
"""Most times that a mark price may be the index price, or the index price it."""
RELATIVE_SLACK = 1e-6
"""Relative error of a volume by rounding to printed decimals."""
PRINTED_SLACK = 1e-4
"""Least absolute error: volumes in the quote currency are printed with few decimals."""
PRICE_SLACK = 1e-8
"""Half a unit of a printed average may lie outside low and high."""
MOST_VALUE = 1e18
"""Above every price and quantity."""
LATEST_MS = 4_102_444_800_000
"""The year 2100, later than every valid time."""


class BookIds(Protocol):
    """How a venue's update ids order the differences of a book."""

    def is_in(self, delta: BookDelta, snapshot: int) -> bool:
        """Whether a snapshot of that id contains the difference."""

    def joins(self, delta: BookDelta, snapshot: int) -> bool:
        """Whether it may be the first one after a snapshot of that id."""

    def follows(self, delta: BookDelta, update_id: int) -> bool:
        """Whether nothing is missing between it and the difference that ended with that id."""


class ConsecutiveIds(Struct, frozen=True):
    """Ids rise by one from difference to difference, and from the snapshot to the first one."""

    def is_in(self, delta: BookDelta, snapshot: int) -> bool:
        """It ends at or before the snapshot."""
        return delta.last_update_id <= snapshot

    def joins(self, delta: BookDelta, snapshot: int) -> bool:
        """The snapshot is within it, or right before it."""
        return delta.first_update_id <= snapshot + 1

    def follows(self, delta: BookDelta, update_id: int) -> bool:
        """A first id beyond the next one is a gap."""
        return delta.first_update_id <= update_id + 1


class BookChecksum(Protocol):
    """How a venue's checksum of a book is made."""

    @property
    def levels(self) -> int:
        """The best levels of each side that it covers."""

    def of(self, bids: Sequence[str], asks: Sequence[str]) -> int:
        """The checksum of the texts of these levels, best first."""


class VenueRules(Struct, frozen=True):
    """Rules that differ by venue."""

    fills_follow: bool = False
    """Each aggregate begins with the fill after the last one of the aggregate before it, so a kline counts as many
    trades as its ids span. False: some fills are in no aggregate.
    """
    ticker_counts_trades: bool = False
    """The 24-hour ticker counts the same trades as the candles. False: it may count fewer."""
    incomparable_fields: frozenset[str] = frozenset()
    """Fields of a candle that klines and trade streams of the venue count differently by design: where they differ in
    these alone, neither is wrong.
    """
    klines_have_ids: bool = False
    """Klines of the stream state the ids of their first and last trades, so that their proof covers these. Those of
    REST and of files never do.
    """
    unreported_fields: frozenset[str] = frozenset()
    """Volumes that klines of the venue do not have: they are NaN there, and nothing is compared with them; the same
    for `trades`, which is -1 then.
    """
    rounded_fields: frozenset[str] = frozenset()
    """Volumes that klines of the venue state only nearly: their sums are compared with nothing."""
    klines_kept: int = 0
    """Newest klines of a timeframe that REST serves, the running one among them; 0: it serves all."""
    has_comparable_ticker: bool = True
    """The window of the 24-hour ticker is known, so that its figures can be compared with ours."""
    book_line: str = ""
    """The line that carries books: when its connection is lost, they restart. Empty: any line may carry them."""
    book_ids: BookIds = ConsecutiveIds()
    """How the differences of a book follow each other."""
    has_books_on_line: bool = False
    """Snapshots of books come by their streams, before the changes (`LineSnapshot`), and none is queried. `book_ids`
    does not count then.
    """
    book_checksum: BookChecksum | None = None
    """How checksums of these books are made; None where the venue sends none."""
    second_reorder_ms: int = 0
    """How long missing trade ids may still arrive where redundant connections are two feeds: the second one may bring
    them later, and in any order. 0: as the setting says.
    """
    borrowed_times: frozenset[type] = frozenset()
    """Types of events without a time of their own: they have that of another message, and vouch for no time."""
    has_derivatives: bool = False
    """Its instruments are derivatives: they have mark prices, funding, open interest and liquidations."""


Rule: TypeAlias = Callable[[Any, VenueRules], str]
"""Why an event is invalid; empty when it is valid."""

ANY_VENUE = VenueRules()


def fault_of(event: Any, rules: VenueRules = ANY_VENUE) -> str:
    """Why an event is invalid, as a text for the user; empty when it is valid by itself."""
    rule = _BY_TYPE.get(type(event))
    if rule is None:  # a venue's own subtype of a model type
        rule = _BY_TYPE[type(event)] = next((r for model, r in _RULES.items() if isinstance(event, model)), _no_rule)
    return rule(event, rules)


def trade_time(trade: Trade) -> int:
    """The venue's time according to a trade; for a trade that is later than its report, the time of the report."""
    return min(trade.time, trade.event_time)


def _no_rule(_: Any, __: VenueRules) -> str:
    return ""


def _trade(trade: Trade, _: VenueRules) -> str:
    if not -TRADE_AHEAD_MS <= trade.event_time - trade.time <= TRADE_AGE_MS:
        return f"a trade that was made {trade.time - trade.event_time} ms after it was sent"
    if trade.fill == MARKET_FILL and not (trade.price and trade.quantity):
        return "a trade on the market without a price or quantity"
    return ""  # futures report fills without a price; they keep their id and stay out of the candles


def _aggregate(trade: AggregateTrade, rules: VenueRules) -> str:
    if not 0 <= trade.last_id - trade.first_id < MOST_FILLS:
        return f"an aggregate of {trade.last_id - trade.first_id + 1} fills"
    return _trade(trade, rules)


def _kline(kline: Kline, rules: VenueRules) -> str:
    try:
        length = timeframe_ms(kline.timeframe)
    except ValueError:
        length = 0  # 3d, 1w and 1M exist at the venue; our candles are not compared with them
    return (
        (_kline_time(kline, length) if length else "")
        or _kline_prices(kline)
        or _kline_volumes(kline, rules.unreported_fields)
        or _kline_ids(kline, rules)
    )


def _kline_time(kline: Kline, length: int) -> str:
    end = kline.open_time + length - 1
    if kline.open_time % length:
        return "a kline that does not begin at its period's begin"
    if kline.close_time not in (0, end):
        return f"a kline that ends at {kline.close_time} and not with its period"
    if kline.open_time > kline.event_time + KLINE_AHEAD_MS:
        return "a kline of a period that had not begun when it was sent"
    if kline.is_closed and end > kline.event_time:
        return "a closed kline of a period that was not over when it was sent"
    if kline.event_time > end + KLINE_AGE_MS:
        return "a kline of a period that was long over when it was sent"
    return ""


def _kline_prices(kline: Kline) -> str:
    opened, high, low, closed = prices = kline.prices
    if not all(map(isfinite, prices)):
        return "a kline with a price that is not a number"
    least, most = min(prices), max(prices)
    if not 0 < least <= most < MOST_VALUE:
        return f"a kline with a price of {least if least <= 0 else most}"
    if low > high:
        return f"a kline whose low {low} is above its high {high}"
    if not (low <= opened <= high and low <= closed <= high):
        return "a kline whose open or close lies outside low and high"
    return ""


def _kline_volumes(kline: Kline, unreported: frozenset[str]) -> str:
    volumes = kline.volumes
    if unreported:
        volumes = tuple(0.0 if name in unreported else value for name, value in zip(VOLUMES, volumes, strict=True))  # type: ignore[assignment]
    if not all(map(isfinite, volumes)):
        return "a kline with a volume that is not a number"
    if kline.trades < (-1 if "trades" in unreported else 0) or not min(volumes) >= 0:
        return "a kline of less than nothing"
    traded, traded_value, bought, bought_value = volumes
    if bought > traded + _slack(traded) or bought_value > traded_value + _slack(traded_value):
        return "a kline of which takers bought more than was traded"
    for volume, value in ((traded, traded_value), (bought, bought_value)):
        least, most = volume * kline.low, volume * kline.high
        if value and not least - _slack(least) - kline.quote_volume_slack <= value <= most + _slack(most):
            return "a kline whose quote volume is not its volume at prices between low and high"
    return ""


def _kline_ids(kline: Kline, rules: VenueRules) -> str:
    if kline.first_id < 0 and kline.last_id < 0:
        return ""  # no trade, or the source does not report them
    spanned = kline.last_id - kline.first_id + 1
    if kline.first_id < 0 or spanned < 1 or kline.trades > spanned:
        return f"a kline of {counted(kline.trades, 'trade')} with ids from {kline.first_id} to {kline.last_id}"
    if rules.fills_follow and kline.trades != spanned:
        return f"a kline of {counted(kline.trades, 'trade')} whose ids span {spanned}"
    return ""


def _ticker(ticker: Ticker, _: VenueRules) -> str:
    if not -KLINE_AHEAD_MS <= ticker.event_time - ticker.close_time <= TICKER_WINDOW_MS:
        return "a ticker whose window ends after it was sent"
    if not 0 <= ticker.close_time - ticker.open_time <= TICKER_WINDOW_MS:
        return "a ticker whose window is not 24 hours"
    if ticker.trades <= 0:  # none, or the venue does not count them
        return "a ticker with a negative count" if ticker.trades < -1 else ""
    return _day_prices(ticker, ticker.last_price) or _day_change(ticker)


def _day_change(ticker: Ticker) -> str:
    slack = RELATIVE_SLACK * ticker.high + PRICE_SLACK
    if not ticker.low - slack <= ticker.weighted_average <= ticker.high + slack:
        return "a ticker whose average price lies outside low and high"
    if abs(ticker.last_price - ticker.open - ticker.price_change) > slack:
        return "a ticker whose change is not last price less open"
    return ""


def _mini_ticker(ticker: MiniTicker, _: VenueRules) -> str:
    return _day_prices(ticker, ticker.close) if ticker.volume else ""


def _day_prices(ticker: Ticker | MiniTicker, last: float) -> str:
    if not ticker.low <= min(ticker.open, last) <= max(ticker.open, last) <= ticker.high:
        return "a ticker whose open or last price lies outside low and high"
    least, most = ticker.volume * ticker.low, ticker.volume * ticker.high
    if not least - _slack(least) <= ticker.quote_volume <= most + _slack(most):
        return "a ticker whose quote volume is not its volume at prices between low and high"
    return ""


def _book_ticker(ticker: BookTicker, _: VenueRules) -> str:
    crossed = ticker.ask_price and ticker.bid_price >= ticker.ask_price
    return "a book ticker whose bid is not below its ask" if crossed else ""


def _book_delta(delta: BookDelta, _: VenueRules) -> str:
    updates = delta.last_update_id - delta.first_update_id
    if not 0 <= updates < MOST_UPDATES:
        return f"a difference of a book of {updates + 1} updates"
    previous = delta.previous_update_id
    if previous is not None and not -1 <= previous <= delta.last_update_id:
        return f"a difference of a book behind a later one, {previous}"
    return ""


def _book_snapshot(snapshot: BookSnapshot, _: VenueRules) -> str:
    bids, asks = snapshot.bids, snapshot.asks
    if bids and asks and bids[0][0] >= asks[0][0]:
        return "a book whose best bid is not below its best ask"
    if any(not quantity for _, quantity in (*bids, *asks)):
        return "a book with a level without a quantity"
    if any(a[0] <= b[0] for a, b in pairwise(bids)) or any(a[0] >= b[0] for a, b in pairwise(asks)):
        return "a book whose levels are not in order"
    return ""


def _mark(mark: MarkReport, _: VenueRules) -> str:
    if mark.index_price and not 1 / MOST_PREMIUM <= mark.mark_price / mark.index_price <= MOST_PREMIUM:
        return f"a mark price of {mark.mark_price} at an index of {mark.index_price}"
    if mark.next_funding_time:
        ahead = mark.next_funding_time - mark.event_time
        if not -FUNDING_PAST_MS <= ahead <= FUNDING_AHEAD_MS:
            return f"a mark price whose next funding is {ahead} ms ahead"
    elif mark.funding_rate:
        return "a mark price with a rate of funding, and no time"
    return ""


def _liquidation(order: LiquidationReport, _: VenueRules) -> str:
    if not -TRADE_AHEAD_MS <= order.event_time - order.time <= TRADE_AGE_MS:
        return f"a liquidation that was made {order.time - order.event_time} ms after it was sent"
    if order.filled > order.quantity * (1 + RELATIVE_SLACK):
        return "a liquidation of which more is filled than there is"
    return ""


def _contract(contract: ContractReport, _: VenueRules) -> str:
    return "" if contract.delivery_time < 2 * LATEST_MS else "a contract that ends beyond all bounds"


def _slack(volume: float) -> float:
    return RELATIVE_SLACK * volume + PRINTED_SLACK


_RULES: dict[type, Rule] = {
    AggregateTrade: _aggregate,
    Trade: _trade,
    Kline: _kline,
    Ticker: _ticker,
    MiniTicker: _mini_ticker,
    BookTicker: _book_ticker,
    BookDelta: _book_delta,
    BookSnapshot: _book_snapshot,
    MarkReport: _mark,
    LiquidationReport: _liquidation,
    ContractReport: _contract,
}
"""The first match applies."""
_BY_TYPE: dict[type, Rule] = dict(_RULES)
