"""Markets of recordings, each recording read once in a process: what is read is not changed by playing it."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from sources.replay.market.market import MarketKind
from sources.replay.market.playback import Playback
from sources.replay.tape.symbol_tape import SymbolTape
from sources.replay.tape.tapes import playback_of, read_tapes
from tests.fakes.recordings import recording


def market_of(paths: Sequence[Path], *, kind: MarketKind, **options: Any) -> Playback:
    """A new market, as `load_tapes` makes it with these options."""
    return playback_of(_tapes(tuple(paths), kind), kind=kind, **options)


@lru_cache(maxsize=4)  # the largest takes 100 MB
def _tapes(paths: tuple[Path, ...], kind: MarketKind) -> list[SymbolTape]:
    return read_tapes(paths, kind=kind)


def spot_recording(*, loop: bool = False) -> Playback:
    """Eleven minutes of two instruments of Binance, with the exchange's own candles of the time before."""
    paths = [recording("binance-spot-2024-08-08")]
    return market_of(paths, kind="spot", loop=loop, history=recording("kline-history"))
