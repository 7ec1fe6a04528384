"""The flow's steps from frames to candles, books and prices, without the engine, in the order in which the graph has
them; true frames among mutated ones, and what must hold whatever those say.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from flows.clock import FeedClock, monotonic_ms
from flows.machine import MachineLogic
from flows.model import (
    BookView,
    Candle,
    Connected,
    Flush,
    MarketData,
    RawFrames,
    Rejected,
    StoreOnly,
    StreamNames,
    Subscribed,
)
from flows.operators.books.keeper import BookKeeper, BookPolicy, book_events
from flows.operators.parse import Parse
from flows.operators.prices import Prices
from flows.operators.trades.batching import MicroBatcher
from flows.operators.validate import Validate
from flows.queries import Query
from flows.settings import Feed
from flows.steps import sequence_candles
from sources.binance.feed import BinanceFeed
from sources.binance.parse import BinanceParser
from sources.binance.rules import RULES
from sources.replay.faults.budget import Budget
from sources.replay.faults.content_faults import AlteringFault
from sources.replay.faults.transforms import start_transform
from sources.replay.protocol.frames import enveloped
from tests.fakes.captured import MOST, REPLIES, captured, line_of
from tests.fakes.fuzz_meter import Meter, Report, confirmed, metered
from tests.fakes.mutations import Mutation, mutated
from tests.fakes.true_tape import BEGIN_MS, STREAMS, TIMEFRAME, TrueFrame, TrueTape

MOST_EMPTY = 1_440 + 1
"""A day of the shortest timeframe, and the one that is running."""
CLEAN_S = 200
"""Of the market's time at the end of a tape, without mutations: two whole minutes of it are compared."""
_SETTLING_MS = 75_000
_TIMER_MS = 1_000
_FRAMES_PER_S = 85
"""True ones, about."""
_SHOWN_LEVELS = 20
_RARE = ("kline_1m", "kline_5m", "ticker", "miniTicker")
_POLL_MS = 250
"""True frames of so long are polled at once where nothing is between them."""
_TOGETHER = 20
"""True frames before one with which it may be mixed."""
_LOOK_BACK = 400
"""True frames in which the newest of a rare type is looked for."""


class Wiring(NamedTuple):
    """The step `validate` and the clocks around it, as the graph wires them."""

    validate: Callable[[list[Any]], list[Any]]
    trades: FeedClock
    """Closes candles."""
    books: FeedClock


def wire_up(venue: str, local_ms: Callable[[], int]) -> Wiring:
    """The parts of a venue that tell the time, on this local clock."""
    clock = FeedClock(local_ms)
    return Wiring(Validate(venue, clock, RULES[venue]), clock.twin(), clock)


def _feed(venue: str) -> Feed:
    return Feed.model_validate({"venue": venue, "timeframes": (TIMEFRAME, "5m", "1d")})


def _book(key: str, _: Any) -> BookKeeper:
    rules = RULES[key.partition(":")[0]]
    return BookKeeper(key, policy=BookPolicy(depth=500, levels=_SHOWN_LEVELS), rules=rules)


class FuzzedFlow:
    """One venue with two symbols, fed by hand."""

    def __init__(self, tape: TrueTape, meter: Meter) -> None:
        self._tape = tape
        self._meter = meter
        self._now_ms = BEGIN_MS
        self._streams = StreamNames(frozenset(name for names in STREAMS.values() for name in names))
        self._keys = frozenset(f"{tape.venue}:{symbol}" for symbol in STREAMS)
        wiring = wire_up(tape.venue, self._local_ms)
        self._parse = Parse(tape.venue, BinanceParser(tape.venue))
        self._validate = wiring.validate
        self._prices = Prices()
        self._gather = MicroBatcher(wiring.trades, hold_ms=0, monotonic_ms=self._local_ms)
        build = partial(sequence_candles, rules=RULES[tape.venue], feed=_feed(tape.venue), can_query=True)
        self._candles = _Machines(build, wiring.trades, self)
        self._books = _Machines(_book, wiring.books, self)
        self._next_timer_ms = 0
        self._closed: dict[tuple[str, int], Candle] = {}
        """The newest version of each closed minute."""
        self._views: dict[str, BookView] = {}

    def _local_ms(self) -> int:
        return self._now_ms - BEGIN_MS + 1_000_000

    def begin(self) -> None:
        """The lines come up."""
        symbols, streams = tuple(STREAMS), tuple(self._streams.subscribed)
        for line in ("market", "public"):
            self._pass([Connected(line, symbols, "ws://127.0.0.1"), Subscribed(line, symbols, streams)])

    def wait_until(self, now_ms: int) -> None:
        """Time goes on; what is due happens."""
        self._now_ms = now_ms
        if now_ms >= self._next_timer_ms:
            self._next_timer_ms = now_ms + _TIMER_MS
            for key, logic in self._candles.all():
                self._take_candles(key, logic.on_notify)
            for key, logic in self._books.all():
                self._take_views(key, logic.on_notify)

    def poll(self, line: str, *frames: bytes) -> None:
        """Frames arrive together."""
        self._pass([RawFrames(line, list(frames), 0, self._streams), Flush()])

    def _pass(self, items: list[Any]) -> None:
        run = self._meter.run
        parsed = run("parse", lambda: self._parse(items)) or []
        valid = run("validate", lambda: self._validate(parsed)) or []
        self._meter.rejected += sum(isinstance(item, Rejected) for item in valid)
        for price in run("prices", lambda: self._prices(valid)) or []:
            self._check_price(price)
        for keyed in run("gather", lambda: self._gather(valid)) or []:
            self._take_candles(keyed[0], self._candles.taking(*keyed))
        for change in run("book_events", lambda: book_events(valid)) or []:
            self._take_views(change[0], self._books.taking(*change))

    def answer(self, _key: str, query: Query, answer: Callable[[Any], None]) -> None:
        """What a machine asks of the venue."""
        if query.symbol in STREAMS:
            answer(self._tape.answer(query, self._now_ms))

    def _take_candles(self, key: str, call: Callable[[], tuple[Sequence[Any], bool]]) -> None:
        for item in self._outputs("candles", self._candles, key, call):
            if type(item) in (Candle, StoreOnly):
                self._check_candle(item.candle if type(item) is StoreOnly else item)

    def _take_views(self, key: str, call: Callable[[], tuple[Sequence[Any], bool]]) -> None:
        for item in self._outputs("books", self._books, key, call):
            if type(item) is BookView:
                self._check_view(item)
                self._views[item.symbol] = item

    def _outputs(
        self, step: str, machines: "_Machines", key: str, call: Callable[[], tuple[Sequence[Any], bool]]
    ) -> Sequence[Any]:
        """What a machine gives. One that has raised begins anew, and one of an instrument that is not ours goes."""
        result = self._meter.run(step, call)
        if key not in self._keys:
            self._meter.note("keys", "an instrument without a subscription")
        if result is None or key not in self._keys:
            machines.drop(key)
            return []
        self._meter.run(step, machines.logic(key).notify_at)
        out = result[0]
        if sum(type(item) is Candle and item.timeframe == TIMEFRAME and not item.trades for item in out) > MOST_EMPTY:
            self._meter.note(step, "more than a day of empty candles at once")
        return out

    # --- what must hold ---

    def _check_price(self, price: MarketData) -> None:
        if not (math.isfinite(price.price) and price.price > 0):
            self._meter.note("prices", "a price that is none")

    def _check_candle(self, candle: Candle) -> None:
        prices = (candle.open, candle.high, candle.low, candle.close)
        volumes = (candle.volume, candle.quote_volume, candle.taker_buy_volume, candle.taker_buy_quote_volume)
        if not all(math.isfinite(price) and price > 0 for price in prices):
            self._meter.note("candles", "a candle with a price that is none")
        if not all(math.isfinite(volume) and volume >= 0 for volume in volumes):
            self._meter.note("candles", "a candle with a volume that is none")
        if candle.is_closed and candle.timeframe == TIMEFRAME:
            self._closed[candle.symbol, candle.open_time] = candle
            if len(self._closed) > 10 * MOST_EMPTY:
                del self._closed[next(iter(self._closed))]

    def _check_view(self, view: BookView) -> None:
        numbers = [number for level in (*view.bids, *view.asks) for number in level]
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            self._meter.note("books", "a level that is none")
        if view.bids and view.asks and view.bids[0][0] >= view.asks[0][0]:
            self._meter.note("books", "a crossed book")

    def check_end(self, begin_ms: int) -> None:
        """The minutes that begin at `begin_ms` or later are the market's own, and so are the books."""
        for symbol in STREAMS:
            for open_time, (prices, trades) in self._tape.closed_minutes(symbol, begin_ms).items():
                candle = self._closed.get((symbol, open_time))
                if candle is None:
                    self._meter.note("end", f"{symbol}: a true minute after the mutations has no candle")
                elif (candle.open, candle.high, candle.low, candle.close, candle.trades) != (*prices, trades):
                    self._meter.note("end", f"{symbol}: a true minute after the mutations has another candle")
            self._check_last_view(symbol)

    def _check_last_view(self, symbol: str) -> None:
        view, true = self._views.get(symbol), self._tape.book(symbol, _SHOWN_LEVELS)
        if view is None or not view.synced:
            self._meter.note("end", f"{symbol}: no book after the mutations")
        elif (view.update_id, view.bids, view.asks) != (true.last_update_id, true.bids, true.asks):
            self._meter.note("end", f"{symbol}: another book than the market's after the mutations")


class _TruePolls:
    """Hands true frames on, several at once, as a line does that has a moment's messages."""

    def __init__(self, flow: FuzzedFlow, tape: TrueTape, meter: Meter) -> None:
        self._flow = flow
        self._tape = tape
        self._meter = meter
        self._held: list[TrueFrame] = []

    def add(self, true: TrueFrame) -> None:
        """The next one."""
        if self._held and true.due_ms >= self._held[0].due_ms + _POLL_MS:
            self.flush()
        self._held.append(true)

    def flush(self) -> None:
        """Those that are held arrive."""
        if not self._held:
            return
        self._flow.wait_until(self._held[-1].due_ms)
        by_line: dict[str, list[bytes]] = {}
        for true in self._held:
            self._tape.played(true)
            by_line.setdefault(true.line, []).append(self._meter.take_true(true.frame))
        self._held.clear()
        for line, frames in by_line.items():
            self._flow.poll(line, *frames)


class _Machines:
    """The machines of one step by key."""

    def __init__(self, build: Callable[[str, Any], Any], clock: FeedClock, flow: FuzzedFlow) -> None:
        self._build = build
        self._clock = clock
        self._flow = flow
        self._by_key: dict[str, MachineLogic[Any, Any]] = {}

    def logic(self, key: str) -> MachineLogic[Any, Any]:
        """The machine of a key, made when there is none."""
        if key not in self._by_key:
            self._by_key[key] = MachineLogic(None, self._build, clock=self._clock, runner=self._flow.answer)
        return self._by_key[key]

    def taking(self, key: str, item: object) -> Callable[[], tuple[Sequence[Any], bool]]:
        """The call that hands an item to the machine of a key."""
        return partial(self.logic(key).on_batch, [(key, item, self._clock.reading())])

    def drop(self, key: str) -> None:
        """Forgets a machine."""
        self._by_key.pop(key, None)

    def all(self) -> list[tuple[str, MachineLogic[Any, Any]]]:
        """All that have had an event."""
        return list(self._by_key.items())


# --- runs -------------------------------------------------------------------------------------------------------------


@confirmed
def fuzz_flow(venue: str, *, frames: int, seed: int, each: int = 4) -> Report:
    """A market of which every true frame is handed on, and before it `each` mutated ones, so many in all; then a clean
    end. The mutations are those of the seeds from `seed` on.
    """
    polluted = frames // each
    tape = _tape(venue, polluted // _FRAMES_PER_S + CLEAN_S)
    tape.rewind()
    with metered() as meter:
        flow = FuzzedFlow(tape, meter)
        flow.begin()
        for number, true in enumerate(tape.frames[:polluted]):
            flow.wait_until(true.due_ms)
            tape.played(true)
            if not meter.has_enough:
                for turn in range(number * each, (number + 1) * each):
                    _poll_mutated(flow, meter, tape, number, seed=seed + turn, of=frames)
            flow.poll(true.line, meter.take_true(true.frame))
        polls = _TruePolls(flow, tape, meter)
        for true in tape.frames[polluted:]:
            polls.add(true)
        polls.flush()
        for second in range(1, 4):  # what is shown at intervals only is shown
            flow.wait_until(tape.frames[-1].due_ms + second * _TIMER_MS)
        if not meter.has_enough:
            flow.check_end(tape.frames[polluted].due_ms + _SETTLING_MS)
        return meter.report()


def _poll_mutated(flow: FuzzedFlow, meter: Meter, tape: TrueTape, number: int, *, seed: int, of: int) -> None:
    base = _base(tape, number, seed)
    others = [frame.frame for frame in tape.frames[max(0, number - _TOGETHER) : number + 1]]
    flow.poll(base.line, meter.take(mutated(base.frame, seed, others=others), seed=seed, of=of))


def _base(tape: TrueTape, number: int, seed: int) -> TrueFrame:
    """The frame that is changed: this one, or in every other turn the newest of a rarer type."""
    if seed % 2:
        channel = _RARE[seed // 2 % len(_RARE)]
        for frame in reversed(tape.frames[max(0, number - _LOOK_BACK) : number]):
            if frame.channel == channel:
                return frame
    return tape.frames[number]


@confirmed
def faulty_flow(tape: TrueTape, fault: AlteringFault) -> Report:
    """A market at which a fault inserts wrong frames beside the true ones: from its begin to its end the candles and
    the books are its own.
    """
    tape.rewind()
    transform = start_transform(fault, Budget(time.monotonic))
    with metered() as meter:
        flow = FuzzedFlow(tape, meter)
        flow.begin()
        polls = _TruePolls(flow, tape, meter)
        for number, true in enumerate(tape.frames):
            *wrong, _ = transform.on_message(true.message)
            if wrong:
                polls.flush()
                flow.wait_until(true.due_ms)
            for message in wrong:
                frame = enveloped(message, message.data) if message.frame is None else message.frame
                flow.poll(true.line, meter.take(Mutation(type(fault).__name__, frame), seed=number, of=1))
            polls.add(true)
        polls.flush()
        for second in range(1, 4):
            flow.wait_until(tape.frames[-1].due_ms + second * _TIMER_MS)
        flow.check_end(BEGIN_MS)
        return meter.report()


@confirmed
def fuzz_parsing(venue: str, *, frames: int, seed: int) -> Report:
    """Mutations of captured frames of all types as a connection sees them: the channel of each, and what it says if it
    is no data; and through parse and validate, of a source that takes every stream.
    """
    parse, validate = Parse(venue, BinanceParser(venue)), wire_up(venue, monotonic_ms).validate
    feed = BinanceFeed(_feed(venue))

    def steps(meter: Meter, channel: str, frame: bytes) -> None:
        meter.run("channel_of", lambda: feed.channel_of(frame))
        meter.run("control_of", lambda: feed.control_of(frame))
        parsed = meter.run("parse", lambda: parse([RawFrames(line_of(channel), [frame], 0)])) or []
        valid = meter.run("validate", lambda: validate(parsed)) or []
        meter.rejected += sum(isinstance(item, Rejected) for item in valid)

    return _fuzz_captured(steps, frames=frames, seed=seed)


@cache
def _corpus() -> dict[str, list[bytes]]:
    return captured(MOST) | {"replies": list(REPLIES)}


@cache
def _tape(venue: str, seconds: int) -> TrueTape:
    return TrueTape(venue, seconds=seconds)


def _fuzz_captured(steps: Callable[[Meter, str, bytes], None], *, frames: int, seed: int) -> Report:
    corpus = _corpus()
    channels = sorted(corpus)
    with metered() as meter:
        for number in range(frames):
            channel = channels[number % len(channels)]
            bases = corpus[channel]
            base = bases[number // len(channels) % len(bases)]
            frame = meter.take(mutated(base, seed + number, others=bases), seed=seed + number, of=frames)
            steps(meter, channel, frame)
            if meter.has_enough:
                break
        return meter.report()
