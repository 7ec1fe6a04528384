"""How current an answer is: the one place that decides it, by what the flow says of instruments and of itself. Pure.

The flow's word holds while its heartbeats come. Without them, or without the hub, the state is `unknown`, however young
the data is. Where a flow says no states at all, the age of the data decides.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from api.live.state import VenueState
from sinks.hub.payloads import ChannelBody, InstrumentBody, iso_utc

UNKNOWN_MS: Final = 2_000
"""Silence of the flow after which nothing is known of it: two heartbeats."""
UNKNOWN: Final = "unknown"
CURRENT: Final = ("live", "quiet")
"""States in which data is of now."""
OF_PRICE: Final = ("trades", "klines", "ticker")
"""Channels that a price comes from, the best one first."""
OF_TRADES: Final = ("trades",)
OF_CANDLES: Final = ("trades", "klines")
OF_BOOK: Final = ("book", "best")


class State(Struct, frozen=True):
    """What a channel of an instrument, or the instrument, is: a state of the model, or `unknown`. `since` is ISO-8601
    in the venue's time, null where that is not known.
    """

    state: str
    since: str | None = None
    reason: str = ""

    @property
    def is_current(self) -> bool:
        """Whether its data is of now."""
        return self.state in CURRENT


def now_ms(boards: Iterable[VenueState]) -> int | None:
    """What time it is at the venue that the boards tell of, ms UTC; None while no hub says it."""
    return max((board.clock.now_ms for board in boards), default=0) or None


def age_ms(boards: Iterable[VenueState], time_ms: int) -> int | None:
    """Time since a moment of the venue that the boards tell of; None while no hub says what time it is there."""
    now = now_ms(boards)
    return None if now is None else max(0, now - time_ms)


def state_of(boards: Iterable[VenueState], symbol: str, channels: Sequence[str] = ()) -> State | None:
    """What the first of these channels is that the instrument has; the instrument, where none is named or it has none.
    None: this flow publishes no states.
    """
    board = _board_of(list(boards), symbol)
    if board is None:
        return State(UNKNOWN, reason="no hub tells of it")
    if doubt := doubt_of(board):
        return doubt
    if not board.publishes_states:
        return None
    body = board.states.get(symbol)
    if body is None:
        return State(UNKNOWN, reason="the flow says nothing of it")
    found = _first(body, channels) or body
    return State(found.state, found.since, found.reason)


def doubt_of(board: VenueState) -> State | None:
    """Why nothing is known of what a flow says; None when its word holds."""
    if not board.is_connected:
        return State(UNKNOWN, _last_heartbeat(board), "the hub is not reached")
    is_silent = board.clock.silent_ms > UNKNOWN_MS if board.clock.is_alive else bool(board.states)
    if is_silent:
        return State(UNKNOWN, _last_heartbeat(board), "the flow gives no sign of life")
    return None


def is_stale(state: State | None, age: int | None, limit_ms: int) -> bool:
    """Whether data is not of now; its age counts only where the flow publishes no states."""
    if state is None:
        return age is None or age > limit_ms
    return not state.is_current


def word_of(state: State | None) -> str | None:
    """The state as answers say it."""
    return state.state if state else None


def _board_of(boards: list[VenueState], symbol: str) -> VenueState | None:
    """The hub that tells of an instrument; one that is followed before one that is not."""
    candidates = [board for board in boards if symbol in board.states] or [b for b in boards if symbol in b.symbols()]
    return max(candidates or boards, key=lambda board: board.is_connected, default=None)


def _first(body: InstrumentBody, channels: Sequence[str]) -> ChannelBody | None:
    known = {channel.channel: channel for channel in body.channels}
    return next((known[name] for name in channels if name in known), None)


def _last_heartbeat(board: VenueState) -> str | None:
    now = board.clock.now_ms
    return iso_utc(now - board.clock.silent_ms) if now else None
