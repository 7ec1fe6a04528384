"""What is served: a market of another venue than Binance, and the venue's protocol."""

from typing import NamedTuple

from sources.replay.exchange.dialect import Dialect
from sources.replay.market.playback import Playback


class Served(NamedTuple):
    """A market and the protocol that it speaks, as `running_exchange` takes them."""

    market: Playback
    dialect: Dialect
