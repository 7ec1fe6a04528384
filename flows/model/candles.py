"""Candles, and what they say of themselves."""

from typing import Literal, TypeAlias

from msgspec import Struct

from flows.model.instrument import timeframe_ms
from flows.model.ohlcv import TradedOhlcv

CandleStatus: TypeAlias = Literal["forming", "final", "repaired", "venue", "partial", "unproven"]
"""`final`: closed, complete by id. `repaired`: closed, trades refilled. `venue`: the exchange's kline, as our trades
are incomplete. `partial`: known to lack trades. `unproven`: closed by a source that says nothing about its end, or in
doubt because a longer candle around it was refuted."""
COMPLETE: tuple[CandleStatus, ...] = ("final", "repaired")
"""Statuses that claim every trade."""
BELIEVED: tuple[CandleStatus, ...] = (*COMPLETE, "unproven")
"""Statuses of candles of which no trade is known to be missing."""
Reconciliation: TypeAlias = Literal["", "equal", "ours wrong", "theirs wrong", "not comparable"]
"""What comparing a closed candle with the exchange's own kline showed; empty while that has not arrived."""


class Candle(TradedOhlcv[int], frozen=True, gc=False, kw_only=True):
    """Open, high, low, close and volumes of one instrument over `[open_time, open_time + timeframe)`."""

    venue: str
    symbol: str
    timeframe: str
    is_closed: bool
    status: CandleStatus
    revision: int = 0
    """0 for the first closed version, one more for every amendment."""
    event_time: int = 0
    """Exchange time of the news that made this version."""
    proof: Reconciliation = ""

    @property
    def close_time(self) -> int:
        """Last millisecond that belongs to it."""
        return self.open_time + timeframe_ms(self.timeframe) - 1


class StoreOnly(Struct, frozen=True, gc=False):
    """A candle for the store alone: it is of the past, or was published before its proof was known."""

    candle: Candle


class RefreshResult(Struct, frozen=True):
    """What became of a `RefreshRequest`."""

    request: str
    report: str
    """For people."""
    failed: bool = False
