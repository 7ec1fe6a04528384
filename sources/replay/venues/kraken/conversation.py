"""Requests of Kraken's WebSocket v2: `subscribe`, `unsubscribe`, `ping`. Each symbol of a request has its own reply."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from sources.replay.exchange.dialect import ExchangeView
from sources.replay.protocol.conversation import Refused, decode_object
from sources.replay.protocol.frames import Encoding
from sources.replay.venues.kraken import messages
from sources.replay.venues.kraken.books import DEPTHS
from sources.replay.venues.kraken.derived import HEARTBEATS, INSTRUMENTS, KrakenDerived, PairMessages
from sources.replay.venues.kraken.requests import id_of, params_of

_NONE: frozenset[str] = frozenset()
_PRIVATE = frozenset(("balances", "executions"))
_ELSEWHERE = "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com"
Options: TypeAlias = dict[str, Any]
"""What a subscription is acknowledged with, beside the symbol."""


class _Channel(NamedTuple):
    """A channel of market data."""

    options: Callable[[Options], Options | str]
    """From the parameters of a request to the options, or the error of those that the exchange refuses."""
    stream: Callable[[Options], str]
    """What follows the pair in the name of the stream."""
    snapshot: Callable[[PairMessages, Options, int], bytes | None]


class KrakenConversation:
    """A client of Kraken."""

    encoding = Encoding(combined=False, microseconds=False)
    counts_requests = True

    def __init__(self, view: ExchangeView, derived: KrakenDerived, number: int) -> None:
        self._view = view
        self._derived = derived
        self._number = number
        self._streams: dict[str, None] = {}
        self._wants_instruments = False

    @property
    def delivered(self) -> frozenset[str]:
        """The streams delivered to it; with any subscription the heartbeat."""
        instruments = (INSTRUMENTS,) if self._wants_instruments else ()
        return frozenset((*self._streams, *instruments, HEARTBEATS)) if self._streams or instruments else _NONE

    def greet(self) -> tuple[bytes, ...]:
        """The status of the system."""
        return (messages.status(self._number),)

    def report(self) -> dict[str, Any]:
        """Its part of the exchange's state."""
        return {"streams": tuple(self._streams)}

    # --- requests

    def answer(self, text: str | bytes) -> tuple[bytes, ...]:
        """Executes a request; a reply for each symbol, then the snapshots."""
        return self._answer(decode_object(text), None)

    def requested(self, text: str | bytes) -> list[str]:
        """The streams that a request would subscribe."""
        request = decode_object(text)
        channel, options = _channel_of(request)
        if request.get("method") != "subscribe" or channel is None or isinstance(options, str):
            return []
        return [f"{symbol}@{channel.stream(options)}" for symbol in _symbols_of(request)]

    def request_id(self, text: str | bytes) -> Any:
        """The `req_id` of a request as it was sent."""
        return decode_object(text).get("req_id")

    def refuse(self, text: str | bytes, order: Refused) -> tuple[bytes, ...]:
        """Refuses the symbols whose streams are refused; the others are subscribed."""
        return self._answer(decode_object(text), order)

    def _answer(self, request: dict[str, Any], order: Refused | None) -> tuple[bytes, ...]:
        method, request_id = request.get("method"), id_of(request)
        match method:
            case "ping":
                return (messages.reply("pong", request_id, self._view.now_ms),)
            case "subscribe" | "unsubscribe":
                return self._change(request, method, request_id, order)
        name = method if isinstance(method, str) else ""
        error = "Method(s) not found" if name else "Malformed request"
        return (messages.reply(name, request_id, self._view.now_ms, success=False, error=error),)

    def _change(
        self, request: dict[str, Any], method: str, request_id: int | None, order: Refused | None
    ) -> tuple[bytes, ...]:
        channel, options = _channel_of(request)
        if _named_channel(request) == "instrument":
            return self._instruments(method, request_id)
        if _named_channel(request) in _PRIVATE:
            return (messages.reply(method, request_id, self._view.now_ms, success=False, error=_ELSEWHERE),)
        if channel is None or isinstance(options, str):
            reason = options if isinstance(options, str) else "Subscription channel not supported"
            return (messages.reply(method, request_id, self._view.now_ms, success=False, error=reason),)
        replies: list[bytes] = []
        snapshots: list[bytes] = []
        for symbol in _symbols_of(request):
            stream = f"{symbol}@{channel.stream(options)}"
            is_refused = order is not None and stream in order.streams
            error = self._error_of(symbol, stream, method)
            if is_refused and order is not None and order.form != "silent":
                error = order.text or f"Currency pair not supported {symbol}"
            if error is None:
                result = {"channel": _named_channel(request), **options, "symbol": symbol}
                replies.append(messages.reply(method, request_id, self._view.now_ms, result=result, success=True))
                snapshots += () if is_refused else self._apply(method, channel, symbol, stream, options)
            else:
                fields = {"success": False, "error": error, "symbol": symbol}
                replies.append(messages.reply(method, request_id, self._view.now_ms, **fields))
        return (*replies, *snapshots)

    def _error_of(self, symbol: str, stream: str, method: str) -> str | None:
        if "/" not in symbol:
            return f"Currency pair not in ISO 4217-A3 format {symbol}"
        if self._derived.pair(symbol, self._view.market.now_ms) is None:
            return f"Currency pair not supported {symbol}"
        if method == "subscribe":
            return "Already subscribed" if stream in self._streams else None
        return None if stream in self._streams else "Subscription Not Found"

    def _apply(self, method: str, channel: _Channel, symbol: str, stream: str, options: Options) -> list[bytes]:
        """Subscribes or unsubscribes; the snapshot, where one is wanted."""
        pair = self._derived.pair(symbol, self._view.market.now_ms)
        if method == "unsubscribe" or pair is None:
            self._streams.pop(stream, None)
            return []
        self._streams[stream] = None
        snapshot = channel.snapshot(pair, options, self._view.market.now_ms) if options.get("snapshot") else None
        return [] if snapshot is None else [snapshot]

    def _instruments(self, method: str, request_id: int | None) -> tuple[bytes, ...]:
        """The channel without symbols: its snapshot, then the pairs that change."""
        self._wants_instruments = method == "subscribe"
        result = {"channel": "instrument", "snapshot": True}
        done = messages.reply(method, request_id, self._view.now_ms, result=result, success=True)
        return (done, self._derived.instruments(self._view.market.now_ms)) if method == "subscribe" else (done,)


def _book_options(params: Options) -> Options | str:
    depth = params.get("depth", 10)
    return {"depth": depth} if _is_one_of(depth, DEPTHS) else "Subscription depth not supported"


def _candle_options(params: Options) -> Options | str:
    minutes = params.get("interval", 1)
    if not _is_one_of(minutes, messages.INTERVALS):
        return "Subscription ohlc interval not supported"
    return {"interval": minutes, "warnings": ["timestamp is deprecated, use interval_begin"]}


def _ticker_options(params: Options) -> Options | str:
    trigger = params.get("event_trigger", "trades")
    return {"event_trigger": trigger} if trigger in ("trades", "bbo") else "Event trigger not supported"


def _is_one_of(value: Any, known: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in known


_CHANNELS = {
    "trade": _Channel(lambda _: {}, lambda _: "trade", lambda pair, _, __: pair.trades()),
    "book": _Channel(
        _book_options,
        lambda options: f"book-{options['depth']}",
        lambda pair, options, now_ms: pair.book(options["depth"], now_ms),
    ),
    "ohlc": _Channel(
        _candle_options,
        lambda options: f"ohlc-{options['interval']}",
        lambda pair, options, now_ms: pair.candles(options["interval"], now_ms),
    ),
    "ticker": _Channel(
        _ticker_options,
        lambda options: "ticker" if options["event_trigger"] == "trades" else "ticker-bbo",
        lambda pair, _, now_ms: pair.ticker(now_ms, kind="snapshot"),
    ),
}
_NO_SNAPSHOT = frozenset(("trade",))
"""Channels that send a snapshot only to those who want one."""


def _named_channel(request: dict[str, Any]) -> str:
    name = params_of(request).get("channel")
    return name if isinstance(name, str) else ""


def _channel_of(request: dict[str, Any]) -> tuple[_Channel | None, Options | str]:
    """The channel of a request, and its options with `snapshot`, or an error."""
    params, name = params_of(request), _named_channel(request)
    channel = _CHANNELS.get(name)
    if channel is None:
        return None, {}
    options = channel.options(params)
    if isinstance(options, str):
        return channel, options
    snapshot = params.get("snapshot", name not in _NO_SNAPSHOT)
    if not isinstance(snapshot, bool):
        return channel, "Malformed request"
    return channel, {**options, "snapshot": snapshot}


def _symbols_of(request: dict[str, Any]) -> list[str]:
    symbols = params_of(request).get("symbol")
    return [name for name in symbols if isinstance(name, str)] if isinstance(symbols, list) else []
