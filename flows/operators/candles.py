"""Step `candles`: candles of every timeframe from the trades of one instrument, forming and closed.

The laws:
* Event time decides to which period a trade belongs; trade ids decide open and close.
* A period closes when a trade of a later one arrives, or when the exchange's closed kline ends with the last trade we
  have, or by time a grace after its end; the last only while nothing can be missing: the line is up and has brought a
  trade since it was down, and none is held back behind a hole. The end of input closes nothing.
* A running period that lacks its beginning, or trades in a hole, is taken from the exchange's running kline and the
  trades whose ids that does not hold: so it is right from the first second, also when the start falls into it.
* A period that is provably empty (the ids on both sides follow each other) is flat at the previous close. Where trades
  are missing nothing is invented: no candle, or one marked `partial`. Nor while the instrument does not trade or the
  whole exchange says nothing, nor for more than a day at once: there the exchange's own history has the word.
* A trade for a closed period amends it: the same key, published again.

Bytewax's own windows are not used for this. They emit only at the close, take the end of input for the end of time,
open a closed window again for a late trade as if it were new, and cost twenty to forty times as much.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from flows.clock import Now
from flows.model import (
    DAY_MS,
    MARKET_FILL,
    TRADE_KINDS,
    AggregateTrade,
    Candle,
    CandleStatus,
    Disconnected,
    Gap,
    Incident,
    Instrument,
    Kline,
    LineEvent,
    Silent,
    Speaking,
    Subscribed,
    Trade,
    TradeBatch,
    TradeWitness,
    TradingStatus,
    Whole,
    timeframe_ms,
)
from flows.operators.bucket import Bucket
from flows.operators.state_version import check_version

BEGIN = -1
"""The gap before the first trade that was ever seen: whatever was traded in that period until then."""
UNPROVEN = -2
"""The mark of a period of which a source may have lost trades, at its begin or its end, for nothing vouches for it."""
AMEND_MS = 600_000
"""Closed periods that ended so long before the newest trade are forgotten; what would amend them is an incident. Those
behind it are kept, for all of them lie in the hole that the next trade may show.
"""
MOST_RECENT = 50_000
"""Trades that are kept while a running period waits for the exchange's kline; with more it waits in vain."""

MOST_FILLED_MS = DAY_MS
"""Empty periods are filled for at most so long at once."""
MOST_PAUSES = 100
"""Times without trading that are remembered."""

STATE_VERSION = 2
_DOUBT = frozenset((UNPROVEN,))
_AT_FIRST_SIGHT = -1
_NEVER = 1 << 62


class _Timeframe:
    """The periods of one timeframe: what is known of the running one besides the newest trades, the recent closed
    ones, and the exchange's last word on the running one.
    """

    __slots__ = ("closed", "kline", "length", "name", "part")

    def __init__(self, name: str) -> None:
        self.name = name
        self.length = timeframe_ms(name)
        self.part: Bucket | None = None
        self.closed: dict[int, Bucket] = {}
        self.kline: Kline | None = None

    def floor(self, time: int) -> int:
        """Begin of the period that holds `time`."""
        return time - time % self.length

    def keep(self, bucket: Bucket) -> None:
        """Remembers a closed period for amendments."""
        self.closed[bucket.open_time] = bucket

    def forget(self, time: int) -> None:
        """Lets go of closed periods that ended long before the newest trade, made at `time`; but for the last one."""
        limit = time - AMEND_MS
        while len(self.closed) > 1 and (oldest := next(iter(self.closed))) + self.length <= limit:
            del self.closed[oldest]


class CandleBuilder:
    """Machine of one instrument. Takes `TradeBatch`, `Gap`, klines and line events; gives `Candle` and `Incident`, and
    hands on trades and klines.

    Trades go into one bucket of the shortest timeframe; the longer ones are merged from its periods as they close, so a
    trade costs the same however many timeframes there are. `timeframes` is sorted, each a multiple of the first.
    For `seed_ms` of local time after the begin or a hole, running periods wait for the exchange's kline and are not
    shown.
    """

    def __init__(
        self,
        key: str,
        *,
        timeframes: tuple[str, ...],
        close_grace_ms: int,
        forming_ms: int,
        seed_ms: int = 0,
        is_behind: Callable[[], bool] = lambda: False,
        state: Any = None,
    ) -> None:
        """`is_behind` says whether whoever puts the trades in sequence holds some back."""
        self._venue, self._symbol = Instrument.of(key)
        self._shortest, *self._longer = (_Timeframe(name) for name in timeframes)
        self._frames = {frame.name: frame for frame in (self._shortest, *self._longer)}
        self._grace_ms = close_grace_ms
        self._forming_ms = forming_ms
        self._seed_ms = seed_ms
        self._is_behind = is_behind
        self._base: Bucket | None = None
        self._known_from = _NEVER
        self._vouched = "all"
        """What vouches for it that the next first trade is the first that was made since `_known_from`."""
        self._reached: int | None = None
        """End of the newest source."""
        self._open_until: int | None = None
        """End of a source that does not say whether the newest trade is its last one; what follows decides."""
        self._open_gaps: dict[int, tuple[int, int]] = {}  # first missing id: (last missing id, how many are missing)
        self._jump: int | None = None
        self._recent: list[Trade] | None = None
        self._seed_by = 0
        self._lines_down: set[str] = set()
        self._pauses: list[tuple[int, int]] = []
        """`[begin, end)` of the times in which it did not trade, feed's time; the last one may have no end yet."""
        self._pause_reasons: set[str] = set()
        """Why it does not trade now: its status, or the line that says nothing."""
        self._is_halt = False
        """Whether its status has a part in the last pause: then it is one, whatever becomes of the lines."""
        self._is_unsure = False
        """Trades may have been missed: the next one in sequence shows that none were."""
        self._dirty = False
        self._shown_local = 0
        self._traded_local = 0
        self._event_time = 0
        if state is not None:
            self._resume(state)

    # --- the machine's face ---

    def on_events(self, events: Any, now: Now) -> list[Any]:
        """Takes one item of the step before."""
        out: list[Any] = []
        if type(events) is TradeBatch:
            out.append(events)
            self._traded_local = now.local
            self._is_unsure = False
            self._take_batch(events, now, out)
        else:
            self._take_news(events, now, out)
        if self._recent is not None:
            self._seed_all(now)
        if self._dirty and now.local - self._shown_local >= self._forming_ms:
            self._show_forming(now, out)
        return out

    def _take_news(self, news: Any, now: Now, out: list[Any]) -> None:
        match news:
            case Gap():
                self._take_gap(news, now, out)
            case [Kline(), *_]:
                for kline in news:
                    self._take_kline(kline, out)
                out.append(news)
            case Whole(has_trades=True):
                self._take_whole(news, out)
                out.append(news)
            case Disconnected() | Subscribed() | Silent() | Speaking() | TradingStatus():
                self._take_line_event(news, now)
            case TradeWitness(is_ahead=False):
                self._go_on_all(now)
                out.append(news)
            case _:
                out.append(news)

    def _take_line_event(self, event: LineEvent, now: Now) -> None:
        match event:
            case Disconnected():
                self._lines_down.add(event.line)
                self._is_unsure = True
            case Subscribed():
                self._lines_down.discard(event.line)
                self._go_on(event.line, now)
            case Silent(whole_line=True) if not TRADE_KINDS.isdisjoint(event.kinds):
                self._pause(event.line, now)
            case Speaking():
                self._go_on(event.line, now)
            case TradingStatus():
                (self._go_on if event.is_trading else self._pause)("status", now)

    # --- times without trading ---

    def _pause(self, reason: str, now: Now) -> None:
        """No candles from now on, but for trades that come all the same."""
        if not self._pause_reasons:
            self._pauses.append((self._current_end(now), _NEVER))
            del self._pauses[:-MOST_PAUSES]
            self._is_halt = False
        self._pause_reasons.add(reason)
        self._is_halt = self._is_halt or reason == "status"

    def _go_on(self, reason: str, now: Now) -> None:
        """One of the reasons is gone."""
        self._pause_reasons.discard(reason)
        if not self._pause_reasons and self._pauses and self._pauses[-1][1] == _NEVER:
            begin, _ = self._pauses.pop()
            self._pauses.append((begin, max(begin, now.feed)))

    def _go_on_all(self, now: Now) -> None:
        """The venue was asked and knows of no later trade: its silence is no pause of trading."""
        silent_lines = self._pause_reasons - {"status"}
        for reason in silent_lines:
            self._go_on(reason, now)
        if silent_lines and not self._is_halt:
            self._pauses.pop()

    def _current_end(self, now: Now) -> int:
        return (
            self._end_of(self._base) if self._base is not None and self._base.trades else self._shortest.floor(now.feed)
        )

    def _did_trade(self, open_time: int, length: int) -> bool:
        """Whether the instrument was traded in a part of a period at least, as far as we know."""
        return not any(begin <= open_time and open_time + length <= end for begin, end in self._pauses)

    def _take_whole(self, whole: Whole, out: list[Any]) -> None:
        """Nothing is missing from its begin on; when it is over, so is every period before its end, if it is sure of
        that. If it is not, the first id of what follows it decides.
        """
        if whole.is_over:
            self._end_whole(whole, out)
        else:
            self._begin_whole(whole, out)
        self._dirty = False

    def _begin_whole(self, whole: Whole, out: list[Any]) -> None:
        if self._open_until is not None and self._open_until != whole.begin:
            self._close_unproven(out)
        self._open_until = None
        self._known_from = whole.begin
        self._vouched = whole.vouched
        if self._base is not None and self._reached != whole.begin:
            self._let_go()  # what lies between is not known

    def _end_whole(self, whole: Whole, out: list[Any]) -> None:
        self._reached = whole.end
        if self._is_vouched_for(whole):
            while self._base is not None and self._end_of(self._base) <= whole.end:
                self._close_base(out)
            return
        self._open_until = whole.end
        if not whole.goes_on:
            self._close_unproven(out)

    def _is_vouched_for(self, whole: Whole) -> bool:
        """Whether its end is. A packed file that is as it was packed is believed when its trades reach its end; one
        that leaves periods without trades there may have been cut before.
        """
        if whole.vouched == "content":
            return self._base is not None and self._end_of(self._base) >= whole.end
        return whole.vouched == "all"

    def _is_begin_vouched_for(self, begin: int) -> bool:
        """The same of its begin, where the first trade is of the period at `begin`."""
        return self._vouched == "all" or (self._vouched == "content" and begin <= self._known_from)

    def _close_unproven(self, out: list[Any]) -> None:
        """Closes what a source without a sure end leaves open: nothing says that the newest trade was the last one."""
        base, end = self._base, self._open_until
        self._open_until = None
        if base is None or end is None:
            return
        end = min(end, self._end_of(base) + MOST_FILLED_MS)
        for frame in self._longer:
            self._part_of(frame, base)
        for bucket in self._running():
            bucket.gaps |= _DOUBT
        while self._end_of(self._current) <= end:
            self._close_base(out)
            for bucket in self._running():
                bucket.gaps |= _DOUBT
        self._let_go()

    def _let_go(self) -> None:
        """The running periods are not gone on with; whatever comes next begins anew."""
        self._base = self._jump = None
        self._open_gaps = {}
        for frame in self._frames.values():
            frame.part = None

    def on_timer(self, now: Now) -> list[Any]:
        """Closes what is over, publishes what is forming."""
        out: list[Any] = []
        if self._recent is not None:
            self._seed_all(now)
        if (wait := self._wait_to_close(now)) is not None and wait <= 0:
            if wait < -self._grace_ms:
                self._traded_local = now.local  # nobody looked for so long that trades may wait to be read
            else:
                self._close_until(now, out)
        if self._dirty and now.local - self._shown_local >= self._forming_ms:
            self._show_forming(now, out)
        return out

    def on_end(self, now: Now) -> list[Any]:
        """The input ends: the forming candles as they are."""
        self._recent = None
        self._shown_local = now.local - self._forming_ms
        return self.on_timer(Now(0, now.local))

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        if self._base is None:
            return None
        due = self._wait_to_close(now)
        if self._dirty:
            show = self._shown_local + self._forming_ms - now.local
            due = show if due is None or show < due else due
        if self._recent is not None:
            seed = self._seed_by - now.local
            due = seed if due is None or seed < due else due
        return due if due is None or due > 0 else 0

    def _wait_to_close(self, now: Now) -> int | None:
        """Milliseconds until the running period may be closed by time alone; None while that is out of the question.

        The grace must have passed by the feed's time and, since the last trade, by local time too: in a replay at many
        times the pace a second of the feed is no time at all, and trades may still be on their way.
        """
        if self._base is None or self._lines_down or self._is_unsure or self._is_behind():
            return None
        if self._pause_reasons and not self._base.trades:
            return None
        by_feed = self._end_of(self._base) + self._grace_ms - now.feed
        by_local = self._traded_local + self._grace_ms - now.local
        return max(by_feed, by_local)

    def snapshot(self) -> tuple[Any, ...]:
        """Everything that a restart needs, as a copy."""
        frames = {
            name: (frame.part and frame.part.state(), [bucket.state() for bucket in frame.closed.values()])
            for name, frame in self._frames.items()
        }
        base = self._base and self._base.state()
        return STATE_VERSION, base, frames, dict(self._open_gaps), self._jump, self._event_time

    def _resume(self, state: tuple[Any, ...]) -> None:
        check_version(state, STATE_VERSION, "the candles")
        _, base, frames, self._open_gaps, self._jump, self._event_time = state
        self._base = Bucket.of_state(base) if base else None
        self._is_unsure = True
        for name, (part, closed) in frames.items():
            frame = self._frames.get(name)
            if frame is not None:
                frame.part = Bucket.of_state(part) if part else None
                frame.closed = {bucket.open_time: bucket for bucket in map(Bucket.of_state, closed)}
        if self._seed_ms and self._base is not None and any(self._lacks(frame) for frame in self._frames.values()):
            self._recent, self._seed_by = [], _AT_FIRST_SIGHT

    # --- trades ---

    def _take_batch(self, batch: TradeBatch, now: Now, out: list[Any]) -> None:
        if batch.replaced:
            return  # they are in sums already, and cannot be taken out: the gap that comes with them says so
        trades = batch.trades
        if not isinstance(trades[0], AggregateTrade):
            trades = [t for t in trades if t.fill == MARKET_FILL]
        if trades:
            self._event_time = max(self._event_time, trades[-1].event_time)
            if batch.late:
                self._amend(trades, out)
            else:
                if self._base is None:
                    self._begin(trades[0], now)
                self._take_in_sequence(batch, trades, out)
                if self._recent is not None:
                    self._recent += trades
        if batch.late:
            self._fill_gaps(batch.trades, out)

    def _take_in_sequence(self, batch: TradeBatch, trades: list[Trade], out: list[Any]) -> None:
        self._dirty = True
        base, length = self._base, self._shortest.length
        if (
            base is not None
            and self._jump is None
            and base.open_time <= batch.begin
            and batch.end < base.open_time + length
        ):
            base.add_trades(trades)
            return
        for open_time, group in groupby(trades, lambda t: self._shortest.floor(t.time)):
            if open_time < self._current.open_time:
                self._amend(list(group), out)
                continue
            if open_time > self._current.open_time:
                self._advance_to(open_time, out)
                for frame in self._frames.values():
                    frame.forget(open_time)
            self._jump = None  # the first trade stands on the far side of the hole; behind it nothing is missing
            self._current.add_trades(list(group))

    @property
    def _current(self) -> Bucket:
        assert self._base is not None  # noqa: S101 - the first trade has begun it
        return self._base

    def _begin(self, trade: Trade, now: Now) -> None:
        """The first trade ever: what came before it in its periods is not known, unless we were told."""
        begin = self._shortest.floor(trade.time)
        doubt = UNPROVEN if trade.id > 0 and not self._is_begin_vouched_for(begin) else None
        self._base = self._bucket(begin, trade.price, gap=doubt if begin >= self._known_from else BEGIN)
        for frame in self._longer:
            open_time = frame.floor(trade.time)
            gap = BEGIN if open_time < min(begin, self._known_from) else doubt
            frame.part = self._bucket(open_time, trade.price, gap=gap)
        self._wait_for_klines(now)

    @staticmethod
    def _bucket(open_time: int, price: float, *, gap: int | None = None) -> Bucket:
        bucket = Bucket(open_time, price)
        if gap is not None:
            bucket.gaps = frozenset((gap,))
        return bucket

    def _end_of(self, base: Bucket) -> int:
        return base.open_time + self._shortest.length

    # --- closing ---

    def _close_until(self, now: Now, out: list[Any]) -> None:
        """Closes what is over by time."""
        over = self._shortest.floor(now.feed - self._grace_ms)
        if self._pause_reasons:
            self._close_base(out)  # the others are empty
        elif over > self._current.open_time:
            self._advance_to(over, out)

    def _advance_to(self, open_time: int, out: list[Any]) -> None:
        """Closes every period before `open_time`. Across a hole in the ids the periods between are unknown, not
        empty; and when they are too many, the exchange's history has to tell them.
        """
        self._close_base(out)
        if self._jump is None and open_time - self._current.open_time <= MOST_FILLED_MS:
            while self._current.open_time < open_time:
                self._close_base(out)
            return
        price = self._current.close
        self._base = self._bucket(open_time, price, gap=self._jump)
        for frame in self._longer:
            if frame.part and frame.part.open_time != frame.floor(open_time):
                if frame.part.trades:
                    self._close(frame, frame.part, out)
                frame.part = self._bucket(frame.floor(open_time), price, gap=self._jump)

    def _close_base(self, out: list[Any]) -> None:
        base = self._current
        end = self._end_of(base)
        if self._shortest.part is not None:
            self._shortest.part.merge(base)
            self._close(self._shortest, self._shortest.part, out)
            self._shortest.part = None
        else:
            self._close(self._shortest, base, out)
        for frame in self._longer:
            part = self._part_of(frame, base)
            part.merge(base)
            if end % frame.length == 0:
                self._close(frame, part, out)
                frame.part = self._bucket(end, base.close)
        self._base = self._bucket(end, base.close)
        self._dirty = True

    def _part_of(self, frame: _Timeframe, base: Bucket) -> Bucket:
        """What a frame's running period holds besides `base`; made when there was nothing yet."""
        if frame.part is None:
            frame.part = self._bucket(frame.floor(base.open_time), base.open)
        return frame.part

    def _close(self, frame: _Timeframe, bucket: Bucket, out: list[Any]) -> None:
        if self._pauses and not bucket.trades and not self._did_trade(bucket.open_time, frame.length):
            return  # the exchange has no candle either, or its history will say so
        frame.keep(bucket)
        out.append(self._candle(frame, bucket, is_closed=True))

    def _take_kline(self, kline: Kline, out: list[Any]) -> None:
        """The exchange's closed kline proves a period complete; its running one may tell what we lack of it."""
        frame = self._frames.get(kline.timeframe)
        if frame is None:
            return
        frame.kline = kline
        if not kline.is_closed:
            return
        self._event_time = max(self._event_time, kline.event_time)
        base = self._base
        ends_with_base = base is not None and kline.open_time + frame.length == self._end_of(base)
        says_its_end = kline.last_id >= 0 or not kline.trades  # REST and files tell no ids
        last_id = base.last_id if base and base.trades else self._last_id(frame)
        if ends_with_base and says_its_end and kline.last_id == last_id:
            self._close_base(out)

    def _last_id(self, frame: _Timeframe) -> int:
        """Last id of a running period whose newest part is empty."""
        return frame.part.last_id if frame.part else -1

    # --- what the exchange knows of a running period, and we do not ---

    def _wait_for_klines(self, now: Now) -> None:
        if self._seed_ms:
            self._recent, self._seed_by = [], now.local + self._seed_ms

    def _lacks(self, frame: _Timeframe) -> bool:
        """Whether the running period of a frame is known to lack trades."""
        base = self._current
        return bool(base.gaps or (frame.part is not None and frame.part.gaps))

    def _seed_all(self, now: Now) -> None:
        """Fills what lacks trades, where the exchange's kline and our newest trades meet; ends the waiting when nothing
        does, or its time is over.
        """
        if self._base is None or self._recent is None:
            return
        if self._seed_by == _AT_FIRST_SIGHT:
            self._seed_by = now.local + self._seed_ms
        lacking = [frame for frame in self._frames.values() if self._lacks(frame)]
        for frame in lacking:
            self._seed(frame, self._recent)
        is_over = now.local >= self._seed_by or len(self._recent) > MOST_RECENT
        if is_over or not any(self._lacks(frame) for frame in lacking):
            self._recent = None
            self._dirty = True

    def _seed(self, frame: _Timeframe, recent: list[Trade]) -> None:
        """The running period becomes the exchange's kline and the trades with a later id, if none is between them."""
        kline, base = frame.kline, self._current
        if kline is None or kline.open_time != frame.floor(base.open_time) or not recent:
            return
        if not recent[0].first_id - 1 <= kline.last_id <= recent[-1].last_id:
            return  # too old, or ahead of the trades that we have
        newer = [trade for trade in recent if trade.last_id > kline.last_id]
        if newer and newer[0].first_id <= kline.last_id:
            return  # it holds a part of an aggregate
        self._move_base_into_parts()
        seeded = Bucket.of_kline(kline)
        running = [trade for trade in newer if frame.floor(trade.time) == kline.open_time]
        if running:
            seeded.add_trades(running)
        frame.part = seeded
        self._dirty = True

    def _move_base_into_parts(self) -> None:
        """So that one frame's part can be replaced without touching the others."""
        base = self._current
        for frame in self._frames.values():
            self._part_of(frame, base).merge(base)
        self._base = self._bucket(base.open_time, base.close)

    # --- amending ---

    def _amend(self, trades: list[Trade], out: list[Any]) -> None:
        """Trades of periods that are over, or older than trades that the running one has."""
        amended: dict[tuple[str, int], Bucket] = {}
        for open_time, group in groupby(sorted(trades, key=_time_and_id), lambda t: self._shortest.floor(t.time)):
            ordered = sorted(group, key=_id_of)
            if self._base and open_time == self._base.open_time and self._shortest.part is None:
                self._base.merge(_bucket_of(open_time, ordered))
                self._dirty = True
                continue
            for frame in self._frames.values():
                self._merge_into_past(frame, open_time, ordered, amended, out)
        for (name, _), bucket in amended.items():
            out.append(self._candle(self._frames[name], bucket, is_closed=True))

    def _merge_into_past(
        self,
        frame: _Timeframe,
        time: int,
        trades: list[Trade],
        amended: dict[tuple[str, int], Bucket],
        out: list[Any],
    ) -> None:
        open_time = frame.floor(time)
        if self._base and open_time == frame.floor(self._base.open_time):
            _add_missing(self._part_of(frame, self._base), trades)
            self._dirty = True
            return
        bucket = frame.closed.get(open_time)
        if bucket is None and frame.closed and open_time > min(frame.closed):
            bucket = self._bucket(open_time, trades[0].price)  # it was skipped across a hole
            bucket.gaps = frozenset(self._open_gaps)
            frame.keep(bucket)
        if bucket is None:
            cause = f"{len(trades)} trades for a {frame.name} candle that is no longer held"
            end = open_time + frame.length - 1
            ids = trades[0].first_id, trades[-1].last_id
            out.append(Incident("late", self._venue, self._symbol, open_time, end, cause, "not amended", *ids))
        else:
            _add_missing(bucket, trades)
            amended[frame.name, open_time] = bucket

    # --- gaps ---

    def _take_gap(self, gap: Gap, now: Now, out: list[Any]) -> None:
        """Marks every period that may lack trades; those already published are published again as partial."""
        self._open_gaps[gap.first_id] = (gap.last_id, gap.last_id - gap.first_id + 1)
        self._jump = gap.first_id
        mark = frozenset((gap.first_id,))
        for bucket in self._running():
            bucket.gaps |= mark
        for frame in self._frames.values():
            for bucket in frame.closed.values():
                overlaps = bucket.open_time + frame.length > gap.after_time and bucket.open_time <= gap.before_time
                if overlaps:
                    bucket.gaps |= mark
                    out.append(self._candle(frame, bucket, is_closed=True))
        self._wait_for_klines(now)

    def _fill_gaps(self, trades: list[Trade], out: list[Any]) -> None:
        """Counts what came late; a gap that is filled no longer marks anything."""
        for first, (last, missing) in list(self._open_gaps.items()):
            left = missing - sum(1 for trade in trades if first <= trade.id <= last)
            if left:
                self._open_gaps[first] = (last, left)
                continue
            del self._open_gaps[first]
            self._lift_mark(frozenset((first,)), out)

    def _lift_mark(self, mark: frozenset[int], out: list[Any]) -> None:
        for bucket in self._running():
            if bucket.gaps & mark:
                bucket.gaps -= mark
                bucket.is_repaired = True
        for frame in self._frames.values():
            for bucket in frame.closed.values():
                if bucket.gaps & mark:
                    bucket.gaps -= mark
                    bucket.is_repaired = True
                    out.append(self._candle(frame, bucket, is_closed=True))

    def _running(self) -> Iterator[Bucket]:
        """Everything that is held of running periods."""
        yield from filter(None, (self._base, *(frame.part for frame in self._frames.values())))

    # --- publishing ---

    def _show_forming(self, now: Now, out: list[Any]) -> None:
        """The running candles, but for those that wait for the exchange's kline. The pace is local time's: it spares
        those who read, and says nothing about the data.
        """
        base = self._current
        self._dirty = False
        self._shown_local = now.local
        for frame in self._frames.values():
            if self._recent is not None and self._lacks(frame):
                continue
            running = base
            if frame.part is not None:
                running = frame.part.copy()
                running.merge(base)
            elif frame is not self._shortest:
                running = self._bucket(frame.floor(base.open_time), base.open)
                running.merge(base)
            out.append(self._candle(frame, running, is_closed=False))

    def _candle(self, frame: _Timeframe, bucket: Bucket, *, is_closed: bool) -> Candle:
        return Candle(
            venue=self._venue,
            symbol=self._symbol,
            timeframe=frame.name,
            open_time=bucket.open_time,
            open=bucket.open,
            high=bucket.high,
            low=bucket.low,
            close=bucket.close,
            volume=bucket.volume.printed,
            quote_volume=bucket.quote_volume.printed,
            trades=bucket.trades,
            taker_buy_volume=bucket.taker_volume.printed,
            taker_buy_quote_volume=bucket.taker_quote_volume.printed,
            first_id=bucket.first_id,
            last_id=bucket.last_id,
            is_closed=is_closed,
            status=_status(bucket, is_closed=is_closed),
            event_time=self._event_time,
        )


def _status(bucket: Bucket, *, is_closed: bool) -> CandleStatus:
    if bucket.gaps:
        return "unproven" if is_closed and bucket.gaps == _DOUBT else "partial"
    if not is_closed:
        return "forming"
    return "repaired" if bucket.is_repaired else "final"


def _bucket_of(open_time: int, trades: list[Trade]) -> Bucket:
    bucket = Bucket(open_time, 0.0)
    bucket.add_trades(trades)
    return bucket


def _add_missing(bucket: Bucket, trades: list[Trade]) -> None:
    """Adds trades to a period, in whatever place; without those that came with the exchange's kline already."""
    missing = [trade for trade in trades if trade.first_id > bucket.covered]
    if missing:
        bucket.merge(_bucket_of(bucket.open_time, missing))


def _time_and_id(trade: Trade) -> tuple[int, int]:
    return trade.time, trade.id


def _id_of(trade: Trade) -> int:
    return trade.id
