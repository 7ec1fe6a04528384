"""The exchange's limits for one address, and the two counters that enforce them. Time is an argument.

Figures: Binance's `web-socket-streams`, `rest-api` and USD-M `Connect` pages, as of 2026.
"""

from collections import deque
from typing import NamedTuple

from msgspec import Struct

from sources.replay.faults.budget import MADE_BYTES_PER_S
from sources.replay.market.market import MarketKind

MINUTE_S = 60
LONGEST_BAN_S = 3 * 86_400


class RestLimits(Struct, frozen=True, kw_only=True):
    """The exchange's rules for the requests of one address."""

    weight_per_minute: int
    """REST weight per minute of the clock."""
    forgiven: int = 20
    """Requests beyond the weight that are answered with 429; the next one in the same minute is a ban."""
    ban_s: int = 120
    """Length of the first ban; each further one is twice as long, up to three days."""


class Limits(RestLimits, frozen=True, kw_only=True):
    """The exchange's rules for one address: its requests, and its connections."""

    ping_every_s: float
    """Time between two pings of the server."""
    pong_within_s: float
    """A ping that is unanswered for so long ends the connection."""
    streams: int = 1024
    """Most streams of one connection."""
    connections_per_5min: int = 300
    """Most connections opened in five minutes."""
    life_s: float = 86_400.0
    """Age at which a connection is ended."""
    incoming_per_s: int
    """Most messages of a client in a second; pings and pongs count. One more ends the connection."""
    message_bytes: int = 131_072
    """Longest message of a client; a longer one ends the connection with 1009."""
    backlog_bytes: int = 67_108_864
    """Most bytes buffered for a client that reads too slowly; with more the connection is cut."""
    all_backlog_bytes: int = 536_870_912
    """The same for all clients together."""
    fault_bytes_per_s: int = MADE_BYTES_PER_S
    """Most bytes that all faults together make and read in a second."""


SPOT_LIMITS = Limits(ping_every_s=20, pong_within_s=60, incoming_per_s=5, weight_per_minute=6_000)
USDM_LIMITS = Limits(ping_every_s=180, pong_within_s=600, incoming_per_s=10, weight_per_minute=2_400)


def limits_of(kind: MarketKind) -> Limits:
    """The limits of a market as the exchange publishes them."""
    return SPOT_LIMITS if kind == "spot" else USDM_LIMITS


class RateMeter:
    """Counts events within a sliding window; it holds at most as many times as it allows events."""

    __slots__ = ("_moments", "_most", "_window_s")

    def __init__(self, *, most: int, window_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._moments: deque[float] = deque()

    def admits(self, now_s: float) -> bool:
        """Counts one more at `now_s` (monotonic), unless that is one too many."""
        moments = self._moments
        while moments and now_s - moments[0] >= self._window_s:
            moments.popleft()
        if len(moments) >= self._most:
            return False
        moments.append(now_s)
        return True


class Refusal(NamedTuple):
    """Why a REST request is refused, and when to retry."""

    status: int
    """429: over the limit. 418: banned for going on after 429."""
    retry_after_s: int
    code: int = 0
    text: str = ""
    """The exchange's error text; default the usual one of the status."""


class WeightLimiter:
    """The REST weight used in the present minute. All clients count as one address: they run on this machine."""

    __slots__ = ("_ban_s", "_banned_until_s", "_limits", "_minute", "_refused", "_used")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._minute = 0
        self._used = 0
        self._refused = 0
        self._banned_until_s = 0.0
        self._ban_s = limits.ban_s

    def used(self, now_s: float) -> int:
        """Weight used in the minute of `now_s` (s since the epoch)."""
        self._turn(now_s)
        return self._used

    def charge(self, weight: int, now_s: float) -> Refusal | None:
        """Charges `weight` at `now_s`; None when the request may be answered. A refused request is charged too."""
        self._turn(now_s)
        if now_s < self._banned_until_s:
            return Refusal(418, _whole_seconds(self._banned_until_s - now_s))
        self._used += weight
        if self._used <= self._limits.weight_per_minute:
            return None
        self._refused += 1
        if self._refused <= self._limits.forgiven:
            return Refusal(429, _whole_seconds((self._minute + 1) * MINUTE_S - now_s))
        return self._ban(now_s)

    def _turn(self, now_s: float) -> None:
        minute = int(now_s // MINUTE_S)
        if minute != self._minute:
            self._minute, self._used, self._refused = minute, 0, 0

    def _ban(self, now_s: float) -> Refusal:
        length_s, self._ban_s = self._ban_s, min(2 * self._ban_s, LONGEST_BAN_S)
        self._banned_until_s = now_s + length_s
        return Refusal(418, length_s)


def _whole_seconds(span_s: float) -> int:
    """Rounded up, so that a client that waits so long is not refused again."""
    return max(1, -int(-span_s // 1))
