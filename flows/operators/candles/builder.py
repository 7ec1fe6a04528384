"""Second machine of the step `candles`: candles of every timeframe from the trades of one instrument.

The laws:
* Event time decides to which period a trade belongs; trade ids decide open and close.
* A period closes when a trade of a later one arrives, or when the exchange's closed kline ends with the last trade we
  have, or the exchange names that trade as its newest one after the end (`NewestTrade`), or by time a grace after its
  end, or, in an import, when a source that has all trades of a stretch of time ends (`Coverage`). By time only while
  the sequencer's watermark follows the venue's clock: nothing can be missing. The end of input closes nothing.
* A running period that lacks its beginning, or trades in a gap, is the exchange's running kline and the trades whose
  ids that does not hold: so it is right from the first second, also when the start falls into it.
* A period that is provably empty (the ids on both sides follow each other) is flat at the previous close. Where trades
  are missing nothing is invented: no candle, or one marked `partial`. Nor while the instrument does not trade or the
  whole exchange sends nothing, nor for more than a day at once: there the exchange's own history decides.
* A running period is shown once it has a trade, or the exchange is known to work in it: where the exchange has stopped,
  and goes on in an earlier one, readers would take the empty candle for the newest price.
* A trade for a closed period amends it: the same key, published again.

Bytewax's own windows are not used for this. They emit only at the close, take the end of input for the end of time,
open a closed window again for a late trade as if it were new, and cost twenty to forty times as much.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import Now
from flows.model import (
    MARKET_FILL,
    TRADE_KINDS,
    AggregateTrade,
    Candle,
    Coverage,
    Disconnected,
    Gap,
    Incident,
    Instrument,
    Kline,
    NewestTrade,
    Seeded,
    Silent,
    Speaking,
    Subscribed,
    Trade,
    TradeBatch,
    TradeResult,
    TradeWitness,
    TradingStatus,
    Watermark,
    WholeFrom,
)
from flows.operators.candles.amend import Amendments, Key, OpenGaps
from flows.operators.candles.bootstrap import Bootstrap
from flows.operators.candles.bucket import NO_ID, BucketState
from flows.operators.candles.pauses import STATUS
from flows.operators.candles.periods import FrameState, Periods, Timeframe, by_period
from flows.operators.candles.whole_sources import WholeSources
from flows.operators.state_version import check_version

STATE_VERSION = 3

State: TypeAlias = tuple[int, BucketState | None, dict[str, FrameState], OpenGaps, list[Key], int | None, int]
"""Version, base and timeframes, open gaps, amendments to be published, the gap before the next trade, time of the
newest event.
"""


class CandleBuilder:
    """Machine of one instrument. Takes `TradeBatch`, `Gap`, `Watermark`, klines and line events; gives `Candle` and
    `Incident`, and passes on trades, klines, and what it does not take.

    `timeframes` is sorted, each a multiple of the first. For `seed_ms` of local time after the begin or a gap, running
    periods wait for the exchange's kline and are not shown.
    """

    def __init__(
        self,
        key: str,
        *,
        timeframes: tuple[str, ...],
        close_grace_ms: int,
        forming_ms: int,
        seed_ms: int = 0,
        rules: VenueRules = ANY_VENUE,
        state: State | None = None,
    ) -> None:
        """`StateVersionError` for another version's state."""
        self._periods = Periods(*Instrument.of(key), timeframes)
        self._amendments = Amendments(self._periods, forming_ms)
        self._bootstrap = Bootstrap(self._periods, seed_ms, rules)
        self._grace_ms = close_grace_ms
        self._forming_ms = forming_ms
        self._is_stopped = False
        """The watermark has stopped: trades may be missing."""
        self._sources = WholeSources(self._periods, self._amendments)
        self._alive_ms: int | None = None
        """Event time of the newest kline, ticker or `NewestTrade`, from the first kline of the shortest timeframe or
        `NewestTrade` on: of these the exchange sends one a period, traded or not.
        """
        self._shown_local = 0
        self._is_hidden = False
        """A running period has begun by the clock alone, and is not shown."""
        self._traded_local = 0
        if state is not None:
            self._resume(state)

    # --- the machine's face ---

    def on_events(self, events: TradeResult, now: Now) -> list[TradeResult]:
        """Takes one item of the step before."""
        if type(events) is TradeBatch:
            self._traded_local = now.local
            if self._periods.pauses.reasons:
                self._periods.pauses.resume(now)
            out: list[TradeResult] = [events]
            out += self._take_batch(events, now)
        else:
            out = self._take_other(events, now)
        if self._bootstrap.unchecked is not None:
            self._bootstrap.check_closed(now)
        if self._bootstrap.trades is not None:
            out += self._bootstrap.seed(now)
        if self._amendments.waiting or self._is_forming_due(now):
            out += self._publish_due(now)
        return out

    def on_timer(self, now: Now) -> list[Candle | Seeded]:
        """Closes what is over, publishes what is amended and what is forming."""
        out: list[Candle | Seeded] = [*self._bootstrap.seed(now)]
        if (wait := self._wait_to_close(now)) is not None and wait <= 0:
            if wait < -self._grace_ms:
                self._traded_local = now.local  # the process was halted so long that unread trades may have arrived
            else:
                out += self._close_by_time(now)
        return [*out, *self._publish_due(now)]

    def on_end(self, now: Now) -> list[Candle | Seeded]:
        """The input ends: the amended candles, and the forming ones as they are."""
        self._bootstrap.end()
        self._shown_local = now.local - self._forming_ms
        return [*self._amendments.flush(), *self.on_timer(Now(0, now.local))]

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        periods = self._periods
        due = self._amendments.due_in(now) if self._amendments.waiting else None
        if periods.base is None:
            return due
        if periods.is_dirty:
            due = _sooner(self._shown_local + self._forming_ms - now.local, due)
        if self._bootstrap.trades is not None:
            due = _sooner(self._bootstrap.due_in(now), due)
        due = _sooner(self._wait_to_close(now), due)
        return due if due is None or due > 0 else 0

    def snapshot(self) -> State:
        """Everything that a restart needs, as a copy."""
        periods = self._periods
        return STATE_VERSION, *periods.state(), *self._amendments.state(), periods.gap_before, periods.event_time

    def _resume(self, state: State) -> None:
        check_version(state, STATE_VERSION, "the candles")
        periods = self._periods
        _, base, frames, open_gaps, waiting, periods.gap_before, periods.event_time = state
        periods.resume(base, frames)
        self._amendments.resume(open_gaps, waiting)
        self._is_stopped = True  # until a trade in sequence shows what was missed
        self._bootstrap.resume()

    def _take_other(self, event: TradeResult, now: Now) -> list[TradeResult]:
        """Takes what is no batch of trades. Gaps, watermarks and line events end here; the rest is passed on behind its
        effects.
        """
        if type(event) is list:
            return self._take_messages(event, now)
        match event:
            case Watermark():
                self._is_stopped = event.stopped_at is not None
            case Gap():
                marked = self._amendments.mark(event)
                self._bootstrap.begin(now)
                return [*marked]
            case Coverage(has_trades=True):
                return [*self._sources.take(event), event]
            case WholeFrom():
                self._sources.begins_whole(event)
            case Disconnected() | Subscribed() | Silent() | Speaking() | TradingStatus():
                self._take_line_event(event, now)
            case TradeWitness():
                self._periods.pauses.end_silence(now, are_trades_made=event.is_ahead)
                return [event]
            case _:
                return [event]
        return []

    def _take_messages(self, event: list[Any], now: Now) -> list[TradeResult]:
        """Takes messages of one type that are no trades."""
        newest = event[-1]
        if isinstance(newest, Kline):
            self._periods.pauses.resume(now)
            return [*self._take_klines(event), event]
        if isinstance(newest, NewestTrade):
            return [*self._take_newest(newest)]
        if self._alive_ms is not None:
            self._live_until(newest.event_time)  # a ticker
        return [event]

    def _take_line_event(self, event: Disconnected | Subscribed | Silent | Speaking | TradingStatus, now: Now) -> None:
        periods = self._periods
        match event:
            case Subscribed():
                periods.pauses.reconnect(event.line, now)
            case Silent(whole_line=True) if not TRADE_KINDS.isdisjoint(event.kinds):
                is_certain = not TRADE_KINDS.issuperset(event.kinds)  # klines and tickers come all the time
                periods.pauses.begin(event.line, self._current_end(now), is_certain=is_certain)
            case Speaking():
                periods.pauses.resume(now)
            case TradingStatus():
                if event.is_trading:
                    periods.pauses.end(STATUS, now)
                else:
                    periods.pauses.begin(STATUS, self._current_end(now))

    def _current_end(self, now: Now) -> int:
        """Where a pause begins: behind the running period if that has trades."""
        periods = self._periods
        has_trades = periods.base is not None and periods.base.has_trades
        return periods.end_of(periods.current) if has_trades else periods.shortest.floor(now.feed)

    # --- trades ---

    def _take_batch(self, batch: TradeBatch, now: Now) -> list[Candle | Incident]:
        periods = self._periods
        if batch.replaced:
            return []  # they are in sums already, and cannot be taken out: the gap that comes with them marks these
        trades = batch.trades
        if not isinstance(trades[0], AggregateTrade):
            trades = [t for t in trades if t.fill == MARKET_FILL]
        if trades:
            periods.event_time = max(periods.event_time, trades[-1].event_time)
        if batch.late:
            # trades that are no fills of the market fill a gap too
            return [*self._amendments.take_late(trades, now), *self._amendments.fill(batch.trades)]
        if not trades:
            return []
        if periods.base is None:
            self._sources.begin(trades[0])
            self._bootstrap.begin(now)
        out = self._take_in_sequence(batch, trades, now)
        if self._bootstrap.trades is not None:
            self._bootstrap.trades += trades
        return out

    def _take_in_sequence(self, batch: TradeBatch, trades: list[Trade], now: Now) -> list[Candle | Incident]:
        periods = self._periods
        periods.is_dirty = True
        base = periods.current
        if periods.gap_before is None and base.open_time <= batch.begin and batch.end < periods.end_of(base):
            base.add_trades(trades)  # nearly always: all are of the running period
            return []
        out: list[Candle | Incident] = []
        for open_time, group in by_period(trades, periods.shortest):
            if open_time < periods.current.open_time:
                out += self._amendments.take_late(group, now)
                continue
            if open_time > periods.current.open_time:
                out += self._amendments.flush()
                out += periods.advance_to(open_time)
                periods.forget(open_time)
            periods.gap_before = None  # the first trade stands on the far side of the gap; behind it nothing is missing
            periods.current.add_trades(group)
        return out

    # --- closing ---

    def _close_by_time(self, now: Now) -> list[Candle]:
        periods = self._periods
        over = periods.shortest.floor(now.feed - self._grace_ms)
        if periods.pauses.reasons:
            return self._flush_and(periods.close_base)  # those behind it have no candles while the pause lasts
        if self._alive_ms is not None and periods.base is not None:
            # an exchange that has stopped is noticed only after a while: no empty candles until then
            known = periods.end_of(periods.base) if periods.base.has_trades else 0
            over = min(over, max(known, periods.shortest.floor(self._alive_ms)))
        return self._flush_and(partial(periods.advance_to, over)) if over > periods.current.open_time else []

    def _flush_and(self, close: Callable[[], list[Candle]]) -> list[Candle]:
        """What is amended, and what `close` ends. Old periods are forgotten here, too: where trades are few, none of
        them ever is the one that ends a period.
        """
        base = self._periods.base
        out = [*self._amendments.flush(), *close()]
        if base is not None and base.has_trades:
            self._periods.forget(base.open_time)
        return out

    def _wait_to_close(self, now: Now) -> int | None:
        """Milliseconds until the running period may be closed by time alone; None while that is out of the question.

        The grace must have passed by the feed's time and, since the last trade, by local time too: in a replay at many
        times the pace a second of the feed is no time at all, and trades may still be on their way.
        """
        periods = self._periods
        if periods.base is None or self._is_stopped:
            return None
        if not periods.base.has_trades:
            is_alive = self._alive_ms is None or self._alive_ms >= periods.end_of(periods.base)
            if periods.pauses.reasons or not is_alive:
                return None
        by_feed = periods.end_of(periods.base) + self._grace_ms - now.feed
        by_local = self._traded_local + self._grace_ms - now.local
        return max(by_feed, by_local)

    def _take_klines(self, klines: list[Kline]) -> list[Candle]:
        return [candle for kline in klines for candle in self._take_kline(kline)]

    def _take_kline(self, kline: Kline) -> list[Candle]:
        """The exchange's closed kline proves a period complete; its running one may complete what lacks trades."""
        periods = self._periods
        frame = periods.frames.get(kline.timeframe)
        if frame is None:
            return []
        frame.kline = kline
        if frame is periods.shortest or self._alive_ms is not None:
            self._live_until(kline.event_time)
        if not kline.is_closed:
            return []
        if frame is periods.shortest:
            self._bootstrap.on_closed_kline(kline)
        periods.event_time = max(periods.event_time, kline.event_time)
        base = periods.base
        ends_with_base = base is not None and kline.open_time + frame.length == periods.end_of(base)
        has_last_id = kline.last_id >= 0 or not kline.trades  # those of REST and of files have none
        last_id = next((held.last_id for held in (base, frame.accumulated) if held and held.has_trades), NO_ID)
        is_whole = ends_with_base and has_last_id and kline.last_id == last_id
        return self._flush_and(periods.close_base) if is_whole else []

    def _live_until(self, event_time: int) -> None:
        """The exchange has sent what it sends with or without trades."""
        self._alive_ms = max(self._alive_ms or 0, event_time)
        if self._is_hidden and not self._begins_by_clock_alone():
            self._periods.is_dirty = True

    def _begins_by_clock_alone(self) -> bool:
        """Whether nothing of the exchange says that the running period has begun."""
        periods = self._periods
        if periods.base is None or periods.base.has_trades:
            return False
        return bool(periods.pauses.reasons) or (self._alive_ms is not None and self._alive_ms < periods.base.open_time)

    def _take_newest(self, newest: NewestTrade) -> list[Candle]:
        """The exchange's newest trade proves a period complete that ends with it, once that is over."""
        self._live_until(newest.event_time)
        periods = self._periods
        base = periods.base
        if base is None or not base.has_trades or base.last_id != newest.last_id or self._is_stopped:
            return []
        if newest.event_time < periods.end_of(base):
            return []
        periods.event_time = max(periods.event_time, newest.event_time)
        return self._flush_and(periods.close_base)

    # --- publishing ---

    def _publish_due(self, now: Now) -> list[Candle]:
        """Amended and running candles, each at their pace."""
        out = self._amendments.publish_due(now)
        if self._is_forming_due(now):
            out += self._show_forming(now)
        return out

    def _is_forming_due(self, now: Now) -> bool:
        return self._periods.is_dirty and now.local - self._shown_local >= self._forming_ms

    def _show_forming(self, now: Now) -> list[Candle]:
        """The running candles, but for those that wait for the exchange's kline, or for the exchange. The pace is by
        local time: it limits what readers get, and has nothing to do with the data.
        """
        periods = self._periods
        periods.is_dirty = False
        self._shown_local = now.local
        self._is_hidden = self._begins_by_clock_alone()
        frames: Iterable[Timeframe] = periods.frames.values()
        if self._bootstrap.trades is not None:
            frames = [frame for frame in frames if not self._bootstrap.hides(frame)]
        shown = [periods.forming(frame) for frame in frames]
        return [candle for candle in shown if candle.trades] if self._is_hidden else shown


def _sooner(one: int | None, other: int | None) -> int | None:
    """The nearer of two deadlines, where there is any. Each batch asks: no list is made for that."""
    if one is None or (other is not None and other < one):
        return other
    return one
