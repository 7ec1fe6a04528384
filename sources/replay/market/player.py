"""Plays a market: takes its messages when they are due and delivers them, turn by turn."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from flows.texts import refusal_in
from sources.replay.market.market import PAUSE, Market, Message, Wanted, always_due

Speed: TypeAlias = float | Literal["max"]
"""Seconds of market time in a second; `max`: as fast as the clients read."""

MOST_SPEED: Final = 1_000_000.0
"""A day in less than a tenth of a second: no market is made faster, and its times stay those of a calendar."""

TURN = 512
"""Most messages before control returns to the event loop."""

_NEAR_MS = 2_000
"""Before the end of what is skipped every message is looked at, so that none is played early."""
_LEAD_S = 0.05
"""How far a market may run ahead through messages without a subscriber."""
_PASSED_OVER = 2_048
"""How many of them it may skip before control returns to the event loop."""


class _SpeedOrder(Struct, frozen=True, forbid_unknown_fields=True):
    speed: float


def speed_of(text: str) -> Speed:
    """The speed that a text names; `ValueError` with a sentence when it names none."""
    if text == "max":
        return "max"
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not _is_speed(speed):
        raise ValueError(f"{text!r} is no speed: write a number above 0, or max; at most {MOST_SPEED:,.0f}")
    return speed


def decode_speed(body: bytes) -> float:
    """The speed in an operator's order, as `{"speed": 10}`; `ValueError` says what is wrong with it."""
    try:
        speed = msgspec.json.decode(body, type=_SpeedOrder).speed
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(refusal_in(body, error, _SpeedOrder)) from None
    if not _is_speed(speed):
        raise ValueError(f"{speed:g} is no speed: write a number above 0, at most {MOST_SPEED:,.0f}")
    return speed


def _is_speed(speed: float) -> bool:
    return 0 < speed <= MOST_SPEED


class MarketClock:
    """The market's time. It stands still until `run`, can be paused, and never goes back."""

    __slots__ = ("_at_ms", "_monotonic_s", "_ran_at_s", "_speed")

    def __init__(self, *, begin_ms: int, speed: float, monotonic_s: Callable[[], float]) -> None:
        self._at_ms = float(begin_ms)
        self._speed = speed
        self._monotonic_s = monotonic_s
        self._ran_at_s: float | None = None

    @property
    def now_ms(self) -> int:
        """Exchange time, ms UTC."""
        return int(self._reached_ms(self._monotonic_s()))

    def run(self) -> None:
        """Starts or resumes the time."""
        now_s = self._monotonic_s()
        self._at_ms, self._ran_at_s = self._reached_ms(now_s), now_s

    def hold(self) -> None:
        """Pauses the time."""
        self._at_ms, self._ran_at_s = self._reached_ms(self._monotonic_s()), None

    def change_speed(self, speed: float) -> None:
        """Goes on at another speed from the time that is reached, or will when it runs."""
        now_s = self._monotonic_s()
        self._at_ms = self._reached_ms(now_s)
        if self._ran_at_s is not None:
            self._ran_at_s = now_s
        self._speed = speed

    def wait_s(self, due_ms: int) -> float:
        """Seconds until `due_ms` while the time runs; 0 when it is reached."""
        return max(0.0, (due_ms - self.now_ms) / (1_000 * self._speed))

    def _reached_ms(self, now_s: float) -> float:
        """The time at a moment, with the part of a millisecond that many changes would else lose."""
        passed_s = 0.0 if self._ran_at_s is None else now_s - self._ran_at_s
        return self._at_ms + passed_s * 1_000 * self._speed


class Player:
    """Plays a market from beginning to end.

    `deliver` receives the messages of a turn. With `max` a turn begins when `ready` returns, so that the clients set
    the pace; at any other speed the market does not wait for clients.
    """

    def __init__(
        self,
        market: Market,
        *,
        speed: Speed,
        wanted: Wanted,
        deliver: Callable[[list[Message]], None],
        ready: Callable[[], Awaitable[None]],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._market = market
        self._wanted = wanted
        self._deliver = deliver
        self._ready = ready
        self._clock = (
            None if speed == "max" else MarketClock(begin_ms=market.now_ms, speed=speed, monotonic_s=monotonic_s)
        )
        self._speed = speed
        self._monotonic_s = monotonic_s
        self._messages = market.play(self._wants, self._is_due)
        self._skip_to_ms: Callable[[], int] | None = None
        self._lead_ms = 0 if speed == "max" else _lead_ms(speed)
        self._waking: asyncio.Future[None] | None = None
        self._passed_over = 0
        self._started = False
        self._may_run = asyncio.Event()
        self._may_run.set()
        self.played = 0
        """Messages taken from the market; those without a subscriber are skipped and not counted."""

    @property
    def paused(self) -> bool:
        """Whether the market stands still on request."""
        return not self._may_run.is_set()

    @property
    def speed(self) -> Speed:
        """How fast the market is played."""
        return self._speed

    @property
    def now_ms(self) -> int:
        """The exchange's time: that of the clock, or with `max` of what was played last."""
        return self._clock.now_ms if self._clock else self._market.now_ms

    def pause(self) -> None:
        """Stops the market and its time, at the latest at the end of the turn."""
        self._may_run.clear()
        if self._clock:
            self._clock.hold()

    def resume(self) -> None:
        """Goes on where the market stopped."""
        self._may_run.set()
        if self._clock and self._started:
            self._clock.run()

    def change_speed(self, speed: float) -> None:
        """Goes on at another speed from the time that is reached: the messages stay the same, at other moments.
        `ValueError` when the market has no clock.
        """
        if not self._clock:
            raise ValueError("a market that is played as fast as its clients read has no speed to change")
        self._speed, self._lead_ms = speed, _lead_ms(speed)
        self._clock.change_speed(speed)
        if self._waking:
            _wake(self._waking)

    def skip(self, to_ms: Callable[[], int]) -> None:
        """Plays what is due at `to_ms`, which may go on meanwhile, and delivers nothing of it; then the clock shows
        that time. At most once, before `play`. `ValueError` when the market has no clock.
        """
        if self._speed == "max":
            raise ValueError("a market that is played as fast as its clients read has no time to skip to")
        self._clock, self._skip_to_ms = None, to_ms
        for message in self._messages:
            if message.stream == PAUSE:
                break
        self._skip_to_ms = None
        self._clock = MarketClock(begin_ms=to_ms(), speed=self._speed, monotonic_s=self._monotonic_s)

    async def play(self) -> None:
        """Plays the market to its end; call it once."""
        await self._may_run.wait()
        self._started = True
        if self._clock:
            self._clock.run()
            await self._play_in_time(self._messages, self._clock)
        else:
            await self._play_as_read(self._market.play(self._wants, always_due))

    async def _play_as_read(self, messages: Iterator[Message]) -> None:
        while True:
            await self._ready()
            await self._may_run.wait()
            turn = self._next_turn(messages)
            if not turn:
                return
            self._hand_on(turn)
            await asyncio.sleep(0)

    def _next_turn(self, messages: Iterator[Message]) -> list[Message]:
        turn: list[Message] = []
        for message in messages:
            turn.append(message)
            if len(turn) >= TURN or not self._wanted(message.stream):
                break
        return turn

    async def _play_in_time(self, messages: Iterator[Message], clock: MarketClock) -> None:
        turn: list[Message] = []
        for message in messages:
            is_pause = message.stream == PAUSE
            if is_pause or message.due_ms > clock.now_ms:
                self._hand_on(turn)
                turn = []
                await self._until(message.due_ms, clock)
            if is_pause:
                continue
            turn.append(message)
            if len(turn) >= TURN or not self._wanted(message.stream):
                self._hand_on(turn)
                turn = []
                await asyncio.sleep(0)
        self._hand_on(turn)

    async def _until(self, due_ms: int, clock: MarketClock) -> None:
        await asyncio.sleep(0)
        while self.paused or clock.wait_s(due_ms):
            await self._may_run.wait()
            await self._sleep(clock.wait_s(due_ms))

    async def _sleep(self, seconds: float) -> None:
        """As `asyncio.sleep`, or until the speed is changed."""
        loop = asyncio.get_running_loop()
        self._waking = loop.create_future()
        timer = loop.call_later(seconds, _wake, self._waking)
        try:
            await self._waking
        finally:
            timer.cancel()

    def _is_due(self, due_ms: int) -> bool:
        if self._skip_to_ms:
            return due_ms <= self._skip_to_ms()
        return not self.paused and due_ms <= self.now_ms

    def _wants(self, stream: str) -> bool:
        """Whether a client wants a stream; now and then True regardless, so that control returns regularly even when
        no client is subscribed. Otherwise the market would not yield before its end, or would run ahead of its time.
        """
        if self._skip_to_ms is not None:
            return stream == PAUSE and self._market.now_ms > self._skip_to_ms() - _NEAR_MS
        if stream == PAUSE:
            return False
        if self._wanted(stream):
            return True
        if self._clock and self._market.now_ms > self._clock.now_ms + self._lead_ms:
            return True
        self._passed_over += 1
        return self._passed_over % _PASSED_OVER == 0

    def _hand_on(self, turn: list[Message]) -> None:
        self.played += len(turn)
        self._deliver(turn)


def _lead_ms(speed: float) -> int:
    return int(_LEAD_S * 1_000 * speed)


def _wake(waking: asyncio.Future[None]) -> None:
    if not waking.done():
        waking.set_result(None)
