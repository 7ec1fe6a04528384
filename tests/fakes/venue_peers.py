"""How the replay exchange is each venue of `VENUES`: what tests need to know beside the venue's own code."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.venues.coinbase.dialect import synthetic_coinbase
from sources.replay.venues.kraken.dialect import synthetic_kraken
from sources.replay.venues.listed import Synthetic
from sources.replay.venues.served import Served

BEGIN: Final = 1_767_225_600_000
MOST_REQUESTS_PER_S: Final = 1_000
"""The limit of REST at the peers: tests are clients too, and a flow keeps to the venue's own limit."""


class Peer(NamedTuple):
    """A venue as the replay exchange serves it."""

    market: Callable[..., Served]
    """As `Synthetic`, but without a dialect for Binance."""
    symbols: tuple[str, str] = ("BTC-USD", "ETH-USD")
    instrument: Callable[[str], str] = str
    """The market's own name of a symbol."""
    streams_as: Callable[[str], str] = str
    """How names of streams write it."""
    ws_path: str = ""
    trades: str = "{}@trade"
    """Name of the stream of trades in orders of faults, with `{}` for the instrument."""
    books: str = "{}@book"
    """Pattern of the streams of books, the same way."""

    def trades_of(self, symbol: str) -> str:
        """The stream of its trades."""
        return self.trades.format(self.streams_as(self.instrument(symbol)))

    def books_of(self, symbol: str) -> str:
        """The streams of its book."""
        return self.books.format(self.streams_as(self.instrument(symbol)))

    def all_of(self, symbol: str) -> str:
        """All streams of it."""
        return f"{self.streams_as(self.instrument(symbol))}@*"


def _binance(kind: str) -> Callable[..., Served]:
    def market(symbols: Sequence[str], *, seed: int, start_ms: int, trades_per_s: float) -> Served:
        made = SyntheticMarket(kind, symbols, seed=seed, start_ms=start_ms, trades_per_s=trades_per_s)  # type: ignore[arg-type]
        return Served(made, None)  # type: ignore[arg-type]  # Binance is the exchange's own dialect

    return market


def _unlimited(synthetic: Synthetic) -> Callable[..., Served]:
    return partial(synthetic, requests_per_s=MOST_REQUESTS_PER_S)  # type: ignore[call-arg]


PEERS: Final[Mapping[str, Peer]] = {
    "binance": Peer(
        market=_binance("spot"), symbols=("BTCUSDT", "ETHUSDT"), trades="{}@aggTrade", books="{}@depth*",
        streams_as=str.lower,
    ),
    "binance-usdm": Peer(
        market=_binance("usdm"), symbols=("BTCUSDT", "ETHUSDT"), trades="{}@aggTrade", books="{}@depth*",
        streams_as=str.lower,
    ),
    "coinbase": Peer(market=_unlimited(synthetic_coinbase), trades="{}@matches", books="{}@level2"),
    "kraken": Peer(
        market=_unlimited(synthetic_kraken), instrument=lambda symbol: symbol.replace("-", "/"), ws_path="/v2",
        trades="{}@trade", books="{}@book-*",
    ),
}  # fmt: skip
"""By the name of the venue."""
