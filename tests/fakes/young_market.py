"""A synthetic market of many symbols without a past."""

from collections.abc import Sequence

from sources.replay.market.history import History
from sources.replay.market.lives import Lives
from sources.replay.market.playback import Playback
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.synthetic.market import _MarketMaker, _timelines
from sources.replay.synthetic.profiles import profile_of


class YoungMarket(Playback):
    """Spot. Implements `Market`; it begins at `start_ms`, a whole second."""

    def __init__(self, symbols: Sequence[str], *, start_ms: int, trades_per_s: float) -> None:
        makers = [_MarketMaker("spot", profile_of("spot", symbol), 1, start_ms, trades_per_s) for symbol in symbols]
        markets = {maker.profile.symbol: SymbolMarket(maker.encoder, History()) for maker in makers}
        super().__init__("spot", markets, _timelines(makers, Lives(), start_ms, trades_per_s), begin_ms=start_ms)
