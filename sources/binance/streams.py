"""What the streams of a connection contain, by their names."""

from typing import Any, NamedTuple

from flows.model import StreamNames, Trade
from flows.modules.compiled import compiled
from sources.binance import wire
from sources.binance.usdm_wire import ContractInfoMessage, ForceOrderMessage, MarkPriceMessage

_agg_trades = compiled("sources.binance._agg_trades", "Reader")

MOST_STREAMS = 10_000
"""Most streams of a connection that are remembered; others are computed each time."""


class Stream(NamedTuple):
    """The content of a stream, derived from its name."""

    symbol: str
    """Empty when it contains all symbols."""
    trades: type | None
    """Type of its messages on the wire when they are trades of one symbol."""
    kind: type | None
    """Type of its messages on the wire; None: unknown."""
    timeframe: str = ""
    """Interval of klines; empty for other streams."""

    def fault(self, message: Any) -> str:
        """Why a message does not belong to this stream; empty when it does."""
        kind = type(message)
        is_kline = kind is wire.KlineMessage
        symbol = message.s if is_kline else message.symbol
        if self.symbol and symbol != self.symbol:
            return f"a message of {symbol!r} on a stream of {self.symbol}"
        if self.kind is not None and not issubclass(kind, self.kind):
            return f"a message of the wrong type on a stream of {self.kind.__name__}"
        if is_kline and self.timeframe and message.k.i != self.timeframe:
            return f"a kline of {message.k.i!r} on a stream of {self.timeframe}"
        return ""


class ConnectionStreams:
    """The streams of one connection, as far as they have brought something."""

    def __init__(self, streams: StreamNames | None) -> None:
        self.traded: dict[str, str] = {}
        """By name the symbols of streams that have trades of one symbol, `of_trades` all of them."""
        self.of_trades: type | None = None
        """Type of these trades on the wire."""
        self._reader = None if _agg_trades is None else _agg_trades.Reader(wire.AggTradeMessage)
        self._known: dict[str, Stream] = {}
        names = None if streams is None else streams.subscribed
        self._followed = None if names is None else {name.partition("@")[0].upper() for name in names}

    def of(self, name: str) -> Stream:
        """The content of a stream. From now on its trades are known by its name."""
        stream = self._known.get(name)
        if stream is None:
            stream = _stream_of(name)
            if len(self._known) < MOST_STREAMS:
                self._known[name] = stream
                if stream.trades is not None and self.of_trades in (None, stream.trades):
                    self.traded[name], self.of_trades = stream.symbol, stream.trades
                    if self._reader is not None and stream.trades is wire.AggTradeMessage:
                        self._reader.add(name, stream.symbol)
        return stream

    def read(self, payloads: list[bytes]) -> tuple[list[Trade], list[bytes]]:
        """Aggregate trades of known streams in their usual form, where that is compiled, and all other frames. Where
        one of a known stream has another form, that is all of them: the order of a stream's trades stays.
        """
        found: tuple[list[Trade], list[bytes]] | None = None
        if self._reader is not None and self.of_trades is wire.AggTradeMessage:
            found = self._reader.read(payloads)
        return found or ([], payloads)

    def follow(self, symbol: str) -> bool:
        """Whether the connection has a stream of this symbol alone."""
        return self._followed is None or symbol in self._followed


_TRADES = frozenset((wire.AggTradeMessage, wire.TradeMessage))
_KINDS: dict[str, type] = {
    "aggTrade": wire.AggTradeMessage,
    "trade": wire.TradeMessage,
    "ticker": wire.TickerMessage,
    "miniTicker": wire.MiniTickerMessage,
    "bookTicker": wire.SpotBookTickerMessage,
    "markPrice": MarkPriceMessage,
    "forceOrder": ForceOrderMessage,
}
"""Wire types by the name of the stream's kind."""
_CONTRACTS = "!contractInfo"
"""The stream of all contracts, followed or not."""


def _stream_of(name: str) -> Stream:
    """Parses the name of a stream: `btcusdt@aggTrade`, `btcusdt@kline_1m`, `btcusdt@depth@100ms`, `!ticker@arr`."""
    lower, _, kind = name.partition("@")
    symbol = "" if lower.startswith("!") else lower.upper()
    if kind.startswith("kline_"):
        return Stream(symbol, None, wire.KlineMessage, kind.removeprefix("kline_").partition("@")[0])
    if kind == "depth" or kind.startswith("depth@"):
        return Stream(symbol, None, wire.DepthMessage)
    if name == _CONTRACTS:
        return Stream("", None, ContractInfoMessage)
    found = _KINDS.get(kind.partition("@")[0])
    return Stream(symbol, found if symbol and found in _TRADES else None, found)
