"""Candles, their status and their comparison with the exchange's."""

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from flows.model.instrument import timeframe_ms
from flows.model.ohlcv import TradedOhlcv

CandleStatus: TypeAlias = Literal["forming", "final", "repaired", "venue", "partial", "unproven"]
"""`final`: closed, complete by id. `repaired`: closed, trades refilled. `venue`: the exchange's kline, as our trades
are incomplete. `partial`: trades are known to be missing. `unproven`: closed by a source without information about its
end, in doubt because a longer or shorter candle of the same trades was refuted, or contradicted and not yet decided."""
COMPLETE: tuple[CandleStatus, ...] = ("final", "repaired")
"""Statuses that claim every trade."""
BELIEVED: tuple[CandleStatus, ...] = (*COMPLETE, "unproven")
"""Statuses of candles without known missing trades."""
DOUBTFUL: tuple[CandleStatus, ...] = ("partial", "unproven")
"""Statuses of closed candles that lack trades, or may lack some."""
Reconciliation: TypeAlias = Literal["", "equal", "ours wrong", "theirs wrong", "not comparable"]
"""Result of comparing a closed candle with the exchange's own kline; empty until that arrives."""
EXCHANGES_OWN: Final = "exchange's own"
NOT_COMPARED: Final = "not compared"


def proof_name(status: str, proof: str | None) -> str:
    """The result of the comparison of a closed candle in words: `EXCHANGES_OWN` where the candle is the exchange's and
    was not compared with another report, and `NOT_COMPARED` until the exchange's arrives.
    """
    return proof or (EXCHANGES_OWN if status == "venue" else NOT_COMPARED)


class Candle(TradedOhlcv[int], frozen=True, gc=False, kw_only=True):
    """Open, high, low, close and volumes of one instrument over `[open_time, open_time + timeframe)`."""

    venue: str
    symbol: str
    timeframe: str
    is_closed: bool
    status: CandleStatus
    revision: int = 0
    """0 for the first closed version, plus one for every version with another value, id or status."""
    event_time: int = 0
    """Exchange time of the event that made this version."""
    proof: Reconciliation = ""

    @property
    def close_time(self) -> int:
        """Last millisecond of its period."""
        return self.open_time + timeframe_ms(self.timeframe) - 1


class StoreOnly(Struct, frozen=True, gc=False):
    """A candle only for the store: a past one, or one that was published before its proof was known."""

    candle: Candle


class RefreshResult(Struct, frozen=True):
    """Result of a `RefreshRequest`."""

    request: str
    report: str
    """Text for the user."""
    failed: bool = False
