"""The other venues than Binance that have a dialect."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from sources.replay.market.lives import Life
from sources.replay.venues.coinbase.dialect import synthetic_coinbase, taped_coinbase
from sources.replay.venues.kraken.dialect import synthetic_kraken, taped_kraken
from sources.replay.venues.served import Served


class Synthetic(Protocol):
    """Makes a synthetic market of a venue; `ValueError` for a symbol that it cannot have."""

    def __call__(
        self,
        symbols: Sequence[str],
        *,
        seed: int,
        start_ms: int,
        trades_per_s: float,
        lives: Mapping[str, Life] | None = None,
    ) -> Served:
        """The market and its dialect; `lives` are those of symbols that do not trade all the time."""


class Taped(Protocol):
    """Loads tapes of a venue; errors as of `load_tapes`."""

    def __call__(self, paths: Sequence[Path], *, times: Literal["original", "now"], loop: bool) -> Served:
        """The market and its dialect."""


SYNTHETIC: Mapping[str, Synthetic] = {"kraken": synthetic_kraken, "coinbase": synthetic_coinbase}
"""By the name of the venue, as in `feed.venue`."""
SYMBOLS: Mapping[str, tuple[str, ...]] = dict.fromkeys(SYNTHETIC, ("BTC-USD", "ETH-USD"))
"""The symbols of a market for which none are named."""
TAPED: Mapping[str, Taped] = {"kraken": taped_kraken, "coinbase": taped_coinbase}
"""By the name of the venue."""
