"""The flow's steps from frames to candles, books and prices, without the engine, in the order in which the graph has
them; and what must hold for each of their calls, whatever the frames say.

Costs are CPU time of the thread, so that a busy machine changes nothing. A call that does not end is ended by a timer
of the process's own CPU time.
"""

import gc
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

import psutil

from flows.asks import Ask
from flows.clock import FeedClock, monotonic_ms
from flows.graph import sequence_candles
from flows.machine import MachineLogic
from flows.model import Candle, Connected, MarketData, Pulse, RawFrames, Recorded, Rejected, StreamNames, Subscribed
from flows.operators.books import BookKeeper, BookPolicy, book_events
from flows.operators.gather import Gather
from flows.operators.parse import Parse
from flows.operators.prices import Prices
from flows.operators.validate import Validate
from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.binance.parse import BinanceParser
from tests.fakes.captured import REPLIES, captured, line_of
from tests.fakes.mutations import Mutation, mutated
from tests.fakes.true_tape import BEGIN_MS, STREAMS, TIMEFRAME, TrueFrame, TrueTape

MOST_CPU_S = 0.05
"""Of a single call of a step."""
ENDLESS_S = 1.0
"""CPU time after which a call is taken not to end."""
MOST_EMPTY = 1_440 + 1
"""A day of the shortest timeframe, and the one that is running."""
MOST_FINDINGS = 50
"""So many are enough to know that something is wrong."""
CLEAN_S = 200
"""Of the market's time at the end of a tape, without mutations: two whole minutes of it are compared."""
_SETTLING_MS = 75_000
_TIMER_MS = 1_000
_SHOWN = 150
_ALIKE = 3
"""Of findings of one kind so many are shown."""


class EndlessError(Exception):
    """A call has not ended."""


class Finding(NamedTuple):
    """What must not be."""

    step: str
    what: str
    seed: int
    """Of the mutation that was handed on last; -1: a true frame."""
    mutation: str
    frame: bytes
    """Its first bytes."""


class Report(NamedTuple):
    """What a run has shown."""

    frames: int
    """Mutated ones."""
    findings: list[Finding]
    slowest_s: float
    """CPU time of the most expensive call."""
    slowest: str
    """The step of that call, and the mutation."""
    cpu_s: float
    """Of all calls together."""
    growth_mb: float
    """Resident memory at the end beyond that after the first third."""
    rejected: int

    def __str__(self) -> str:
        lines: list[str] = []
        for (step, what), number in Counter((found.step, found.what) for found in self.findings).most_common():
            alike = [found for found in self.findings if (found.step, found.what) == (step, what)]
            lines.append(f"{number} x {step}: {what}")
            lines += [f"    seed={found.seed} {found.mutation}: {found.frame!r}" for found in alike[:_ALIKE]]
        return "\n".join([f"{self.frames} frames, slowest {self.slowest} {self.slowest_s:.3f} s", *lines])


class Wiring(NamedTuple):
    """The step `validate` and the clocks around it, as the graph wires them."""

    validate: Callable[[list[Any]], list[Any]]
    trades: FeedClock
    """Closes candles."""
    books: FeedClock


def wire_up(venue: str, local_ms: Callable[[], int]) -> Wiring:
    """The parts of a venue that tell the time, on this local clock."""
    del venue
    return Wiring(Validate(), FeedClock(local_ms), FeedClock(local_ms))


@contextmanager
def calls_that_end() -> Iterator[Callable[[], None]]:
    """Yields what winds the timer up for the next call. The garbage collector rests: its pauses are not the calls'."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise EndlessError("it does not end")

    before = signal.signal(signal.SIGVTALRM, end)
    gc.collect()
    gc.disable()
    try:
        yield partial(signal.setitimer, signal.ITIMER_VIRTUAL, ENDLESS_S)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        gc.enable()


class _Meter:
    """Runs calls and notes what must not be."""

    def __init__(self, wind_up: Callable[[], None]) -> None:
        self._wind_up = wind_up
        self.findings: list[Finding] = []
        self.seed, self.mutation = -1, Mutation("true", b"")
        self.slowest_s, self.slowest, self.cpu_s = 0.0, "", 0.0

    def run(self, step: str, call: Callable[[], Any]) -> Any:
        """What the call gives; None when it raised, which is noted."""
        self._wind_up()
        begin = time.thread_time()
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - any is one too many
            self.note(step, type(error).__name__)
            return None
        finally:
            spent = time.thread_time() - begin
            self.cpu_s += spent
            if spent > self.slowest_s:
                self.slowest_s, self.slowest = spent, f"{step} after {self.mutation.name} (seed {self.seed})"
            if spent > MOST_CPU_S:
                self.note(step, f"takes more than {MOST_CPU_S * 1_000:.0f} ms")

    def note(self, step: str, what: str) -> None:
        self.findings.append(Finding(step, what, self.seed, self.mutation.name, self.mutation.frame[:_SHOWN]))

    @property
    def has_enough(self) -> bool:
        return len(self.findings) >= MOST_FINDINGS


class FuzzedFlow:
    """One venue with two symbols, fed by hand."""

    def __init__(self, tape: TrueTape, meter: _Meter) -> None:
        self.venue = tape.venue
        self._tape = tape
        self._meter = meter
        self.now_ms = BEGIN_MS
        self._streams = StreamNames(frozenset(name for names in STREAMS.values() for name in names))
        self._keys = frozenset(f"{tape.venue}:{symbol}" for symbol in STREAMS)
        self._feed = _feed(tape.venue)
        self._wiring = wire_up(tape.venue, self._local_ms)
        self._parse = Parse(tape.venue, BinanceParser(tape.venue))
        self._prices = Prices()
        self._gather = Gather(self._wiring.trades, hold_ms=0, monotonic_ms=self._local_ms)
        self._candles: dict[str, MachineLogic] = {}
        self._books: dict[str, MachineLogic] = {}
        self._next_timer_ms = 0
        self.closed: dict[tuple[str, int], Candle] = {}
        """The newest version of each closed minute."""
        self.rejected = 0

    def _local_ms(self) -> int:
        return self.now_ms - BEGIN_MS + 1_000_000

    def begin(self) -> None:
        """The lines come up."""
        symbols = tuple(STREAMS)
        for line in ("market", "public"):
            self._pass(
                [Connected(line, symbols, "ws://127.0.0.1"), Subscribed(line, symbols, tuple(self._streams.subscribed))]
            )

    def poll(self, line: str, frames: list[bytes]) -> None:
        """Frames that arrived together, and time that has come."""
        self._pass([RawFrames(line, frames, 0, self._streams), Pulse()])
        if self.now_ms >= self._next_timer_ms:
            self._next_timer_ms = self.now_ms + _TIMER_MS
            for step, machines in (("candles", self._candles), ("books", self._books)):
                for key, logic in list(machines.items()):
                    self._take(step, machines, key, partial(_woken, logic))

    def _pass(self, items: list[Any]) -> None:
        run = self._meter.run
        parsed = run("parse", lambda: self._parse(items)) or []
        valid = run("validate", lambda: self._wiring.validate(parsed)) or []
        self.rejected += sum(isinstance(item, Rejected) for item in valid)
        for price in run("prices", lambda: self._prices(valid)) or []:
            self._check_price(price)
        for key, item in run("gather", lambda: self._gather(valid)) or []:
            logic = self._machine(
                self._candles, key, partial(sequence_candles, feed=self._feed, asks=True), self._wiring.trades
            )
            self._take(
                "candles", self._candles, key, lambda logic=logic, key=key, item=item: logic.on_batch([(key, item)])
            )  # type: ignore[misc]
        for key, item in run("book_events", lambda: book_events(valid)) or []:
            logic = self._machine(self._books, key, _book, self._wiring.books)
            self._take("books", self._books, key, lambda logic=logic, key=key, item=item: logic.on_batch([(key, item)]))  # type: ignore[misc]

    def _machine(
        self, machines: dict[str, MachineLogic], key: str, build: Callable[[str, Any], Any], clock: FeedClock
    ) -> MachineLogic:
        if key not in machines:
            if key not in self._keys:
                self._meter.note("keys", "an instrument that nobody subscribed")
            machines[key] = MachineLogic(None, build, clock=clock, runner=self._answer)
        return machines[key]

    def _take(
        self, step: str, machines: dict[str, MachineLogic], key: str, call: Callable[[], tuple[list[Any], bool]]
    ) -> None:
        """Runs a machine. One that has raised begins anew, and an instrument that is not ours is not kept."""
        result = self._meter.run(step, call)
        if result is None or key not in self._keys:
            machines.pop(key, None)
        if result is None:
            return
        if step == "candles":
            self._check_candles(result[0])
        machines[key].notify_at() if key in machines else None

    def _answer(self, _key: str, ask: Ask, answer: Callable[[Any], None]) -> None:
        if ask.symbol in STREAMS:
            answer(self._tape.answer(ask, self.now_ms))

    # --- what must hold ---

    def _check_price(self, price: MarketData) -> None:
        if not (math.isfinite(price.price) and price.price > 0):
            self._meter.note("prices", f"a price of {price.price}")

    def _check_candles(self, out: list[Any]) -> None:
        candles = [item.candle if type(item) is Recorded else item for item in out if type(item) in (Recorded, Candle)]
        for candle in candles:
            prices = (candle.open, candle.high, candle.low, candle.close)
            volumes = (candle.volume, candle.quote_volume, candle.taker_buy_volume, candle.taker_buy_quote_volume)
            if not all(math.isfinite(price) and price > 0 for price in prices):
                self._meter.note("candles", "a candle with a price that is none")
            if not all(math.isfinite(volume) and volume >= 0 for volume in volumes):
                self._meter.note("candles", "a candle with a volume that is none")
            if candle.is_closed and candle.timeframe == TIMEFRAME:
                self.closed[candle.symbol, candle.open_time] = candle
        empty = sum(not candle.trades and candle.timeframe == TIMEFRAME for candle in candles)
        if empty > MOST_EMPTY:
            self._meter.note("candles", "more than a day of empty candles at once")
        while len(self.closed) > 10 * MOST_EMPTY:
            del self.closed[next(iter(self.closed))]

    def check_clean_end(self, begin_ms: int) -> None:
        """The minutes after the mutations are the market's own."""
        for symbol in STREAMS:
            klines = self._tape.closed_klines(symbol, begin_ms)
            if not klines:
                raise ValueError("the clean end of the tape has no whole minute")
            for open_time, kline in klines.items():
                candle = self.closed.get((symbol, open_time))
                if candle is None:
                    self._meter.note("end", f"{symbol}: a true minute after the mutations has no candle")
                    continue
                theirs = tuple(float(kline[field]) for field in "ohlc")
                ours = (candle.open, candle.high, candle.low, candle.close)
                if theirs != ours or candle.trades != kline["n"]:
                    self._meter.note("end", f"{symbol}: a true minute after the mutations has another candle")


def _feed(venue: str) -> Feed:
    return Feed.model_validate({"venue": venue, "timeframes": (TIMEFRAME, "5m", "1d")})


def _woken(logic: MachineLogic) -> tuple[list[Any], bool]:
    return logic.on_notify()


def _book(key: str, _: Any) -> BookKeeper:
    return BookKeeper(key, policy=BookPolicy(depth=500))


def fuzz_flow(venue: str, *, frames: int, seed: int, each: int = 4) -> Report:
    """A market whose every true frame is handed on, and before it `each` mutated ones, so many in all; then a clean
    end. Mutations are named by their seeds, `seed`, `seed` + 1, ….
    """
    tape = TrueTape(venue, seconds=_seconds(frames // each))
    clean_from_ms = tape.frames[min(frames // each, len(tape.frames) - 1)].due_ms
    with calls_that_end() as wind_up:
        meter = _Meter(wind_up)
        flow = FuzzedFlow(tape, meter)
        flow.begin()
        done, early_rss = 0, 0
        process = psutil.Process()
        for number, true in enumerate(tape.frames):
            flow.now_ms = true.due_ms
            tape.played(true)
            if done < frames and not meter.has_enough:
                done = _feed_mutations(flow, meter, tape, number, seed=seed, done=done, each=each)
            meter.seed, meter.mutation = -1, Mutation("true", true.frame)
            flow.poll(true.line, [true.frame])
            if done >= frames // 3 and not early_rss:
                early_rss = process.memory_info().rss
            if number % 2_000 == 0:
                gc.collect()
        gc.collect()
        growth_mb = (process.memory_info().rss - early_rss) / 1e6
        if not meter.has_enough:
            flow.check_clean_end(clean_from_ms + _SETTLING_MS)
    return Report(done, meter.findings, meter.slowest_s, meter.slowest, meter.cpu_s, growth_mb, flow.rejected)


def _seconds(frames: int) -> int:
    """About as long as so many true frames take, and the clean end."""
    return frames // 85 + CLEAN_S


def _feed_mutations(
    flow: FuzzedFlow, meter: _Meter, tape: TrueTape, number: int, *, seed: int, done: int, each: int
) -> int:
    others = [frame.frame for frame in tape.frames[max(0, number - 20) : number + 1]]
    for _ in range(each):
        base = _base(tape, number, done)
        meter.seed = seed + done
        meter.mutation = mutated(base.frame, seed + done, others=others)
        flow.poll(base.line, [meter.mutation.frame])
        done += 1
    return done


_RARE = ("kline_1m", "kline_5m", "ticker", "miniTicker")


def _base(tape: TrueTape, number: int, turn: int) -> TrueFrame:
    """The frame that is changed: this one, or in every other turn the newest of a rarer type."""
    if turn % 2:
        channel = _RARE[turn // 2 % len(_RARE)]
        for frame in reversed(tape.frames[max(0, number - 400) : number]):
            if frame.channel == channel:
                return frame
    return tape.frames[number]


def fuzz_parsing(venue: str, *, frames: int, seed: int) -> Report:
    """Mutations of captured frames of all types through parse and validate, of a source that takes every stream."""
    parse, validate = Parse(venue, BinanceParser(venue)), wire_up(venue, monotonic_ms).validate

    def steps(meter: _Meter, channel: str, frame: bytes) -> int:
        parsed = meter.run("parse", lambda: parse([RawFrames(line_of(channel), [frame], 0)])) or []
        valid = meter.run("validate", lambda: validate(parsed)) or []
        return sum(isinstance(item, Rejected) for item in valid)

    return _fuzz_captured(steps, frames=frames, seed=seed)


def fuzz_control(venue: str, *, frames: int, seed: int) -> Report:
    """The same frames as a connection sees them: the channel of each, and what it says if it is no data."""
    feed = BinanceFeed(_feed(venue))

    def steps(meter: _Meter, _: str, frame: bytes) -> int:
        meter.run("channel_of", lambda: feed.channel_of(frame))
        meter.run("control_of", lambda: feed.control_of(frame))
        return 0

    return _fuzz_captured(steps, frames=frames, seed=seed)


def _fuzz_captured(steps: Callable[[_Meter, str, bytes], int], *, frames: int, seed: int) -> Report:
    corpus = captured(100) | {"replies": list(REPLIES)}
    channels = sorted(corpus)
    rejected = early_rss = number = 0
    process = psutil.Process()
    with calls_that_end() as wind_up:
        meter = _Meter(wind_up)
        for number in range(frames):
            channel = channels[number % len(channels)]
            bases = corpus[channel]
            meter.seed = seed + number
            meter.mutation = mutated(bases[number // len(channels) % len(bases)], meter.seed, others=bases)
            rejected += steps(meter, channel, meter.mutation.frame)
            if number == frames // 3:
                early_rss = process.memory_info().rss
            if number % 10_000 == 0:
                gc.collect()
            if meter.has_enough:
                break
        gc.collect()
        growth_mb = (process.memory_info().rss - early_rss) / 1e6
    return Report(number + 1, meter.findings, meter.slowest_s, meter.slowest, meter.cpu_s, growth_mb, rejected)
