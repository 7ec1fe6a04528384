"""Binance's market streams: addresses, names, requests and replies (spot `web-socket-streams`, USD-M `Connect`).

Always in combined mode: a raw spot book ticker or partial book does not name its stream. The streams form two groups
with connections of their own (`line`): `public` for books and `market` for the rest, as the paths of USD-M require.
Spot uses the same groups, so that a burst of book data does not delay trades.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, ClassVar

import msgspec

from flows.foreign import quoted
from sources.feed import Ack, ConnectionPlan, Control, DesiredStreams, Refusal, Shutdown
from sources.frames import message_in, word_of
from sources.spread import plans_of
from sources.venue import FeedSettings, address_of

MARKET_LINE = "market"
PUBLIC_LINE = "public"

INTERVALS = frozenset(
    ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
)
"""Kline intervals; USD-M has no `1s`."""

_WS_URLS = {
    ("binance", "live"): "wss://stream.binance.com:9443",
    ("binance", "testnet"): "wss://stream.testnet.binance.vision:9443",
    ("binance-usdm", "live"): "wss://fstream.binance.com",
    ("binance-usdm", "testnet"): "wss://fstream.binancefuture.com",
}
_MESSAGES_PER_S = {"binance": 5, "binance-usdm": 10}
"""Most messages of a client in a second, of whatever kind; one more ends the connection."""
_PING_AND_PONG = 2
"""How many of them may be no request: our ping, and the pong to the exchange's."""
_NAMES_PER_REQUEST = 200
_ENVELOPE = b'{"stream":"'
_NAME_ENDS = len(_ENVELOPE) + 512
"""Bytes within which the name of a stream ends: names may be long, and written in escapes."""
_HEAD = slice(len(_ENVELOPE), len(_ENVELOPE) + 24)
"""Bytes at the begin of a frame that are the same for all frames of a stream."""
_LONG_HEAD = slice(len(_ENVELOPE), len(_ENVELOPE) + 38)
"""The same for names that are longer than the head."""
_BOOK_KINDS = frozenset(("depth", "bookTicker"))
_SPEEDS = {"depth": "depth@100ms", "markPrice": "markPrice@1s"}
"""Kinds of which the venue has several speeds, and the one that is subscribed."""
_CONTRACTS = "!contractInfo"
"""The one stream without a symbol: it is about all contracts, and carried by each connection that wants it."""


class BinanceFeed:
    """The streams of spot or USD-M that the settings name."""

    lines: ClassVar[tuple[str, ...]] = (MARKET_LINE, PUBLIC_LINE)
    """The stream groups."""

    def __init__(self, settings: FeedSettings) -> None:
        """`ValueError` when no address is set and the origin has no default."""
        self.venue: str = settings.venue
        self._settings = settings
        self._base = address_of(settings, "ws_url", _WS_URLS.get((settings.venue, settings.origin))).rstrip("/")
        self.request_interval_s = 1.0 / (_MESSAGES_PER_S[settings.venue] - _PING_AND_PONG)
        self._ids = count(1)
        self._wanted: set[str] = set()
        """Names of all streams ever planned; only their heads are cached."""
        self._names: dict[bytes, str] = {}
        """Cache: streams by the heads of their frames."""

    # --- connections ---

    def plans(
        self,
        desired: DesiredStreams,
        current: Sequence[ConnectionPlan] = (),
        *,
        not_trading: frozenset[str] = frozenset(),
    ) -> list[ConnectionPlan]:
        """A symbol's streams of a group stay on one connection; new symbols go to the one with the fewest streams."""
        return plans_of(
            self.lines, desired, current, settings=self._settings,
            kinds_on=self._kinds_on, plan=partial(self._plan, not_trading=not_trading),
        )  # fmt: skip

    def _kinds_on(self, line: str, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """The kinds of single streams in this group, each once."""
        single = (name for kind in kinds or self._settings.streams for name in self._single(kind))
        return tuple(dict.fromkeys(name for name in single if self._line_of(name) == line))

    def _single(self, kind: str) -> tuple[str, ...]:
        """The kinds of single streams for a kind of the settings; of klines, those that the venue has."""
        if not kind.startswith("kline"):
            return (kind,)
        timeframes = self._settings.timeframes if kind == "kline" else (kind.removeprefix("kline_"),)
        return tuple(f"kline_{timeframe}" for timeframe in timeframes if timeframe in INTERVALS)

    def _plan(self, line: str, kinds: dict[str, tuple[str, ...]], *, not_trading: frozenset[str]) -> ConnectionPlan:
        names = {self._name(symbol, kind): (symbol, kind) for symbol in kinds for kind in kinds[symbol]}
        self._wanted.update(names)
        return ConnectionPlan(line, self._url(line), kinds, names, not_trading & kinds.keys())

    def _name(self, symbol: str, kind: str) -> str:
        """The venue's name of a stream of a symbol."""
        return _CONTRACTS if kind == "contractInfo" else f"{symbol.lower()}@{_SPEEDS.get(kind, kind)}"

    def _url(self, line: str) -> str:
        route = f"/{line}" if self.venue == "binance-usdm" else ""
        return f"{self._base}{route}/stream"

    def _line_of(self, kind: str) -> str:
        """The stream group of a kind. USD-M serves its undocumented `trade` with the books."""
        is_public = kind in _BOOK_KINDS or (kind == "trade" and self.venue == "binance-usdm")
        return PUBLIC_LINE if is_public else MARKET_LINE

    # --- requests ---

    def subscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """SUBSCRIBE requests of up to 200 names each."""
        return self._requests("SUBSCRIBE", streams)

    def unsubscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """UNSUBSCRIBE requests of up to 200 names each."""
        return self._requests("UNSUBSCRIBE", streams)

    def _requests(self, method: str, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        requests = []
        for start in range(0, len(streams), _NAMES_PER_REQUEST):
            request_id = next(self._ids)
            body = {"method": method, "params": streams[start : start + _NAMES_PER_REQUEST], "id": request_id}
            requests.append((request_id, msgspec.json.encode(body).decode()))
        return requests

    # --- frames ---

    def channel_of(self, frame: bytes) -> str:
        """The stream that the envelope names, as in `btcusdt@aggTrade`."""
        name = self._names.get(frame[_HEAD])
        return self._name_in(frame) if name is None else name

    def _name_in(self, frame: bytes) -> str:
        """The name in a frame's text; cached if the head of the frame contains all of it."""
        known = self._names.get(frame[_LONG_HEAD])
        if known is not None:
            return known
        begin = len(_ENVELOPE)
        end = frame.find(b'"', begin, _NAME_ENDS)
        if end < 0 or not frame.startswith(_ENVELOPE):
            return ""
        if b"@" not in frame[begin:end]:
            return _CONTRACTS if frame[begin:end] == _CONTRACTS.encode() else ""
        name = _text_of(frame[begin:end])
        if end < _LONG_HEAD.stop and name in self._wanted:
            self._names[frame[_HEAD if end < _HEAD.stop else _LONG_HEAD]] = name
        return name

    def control_of(self, frame: bytes) -> Control | None:
        """Replies have no envelope; errors are flat or wrapped; the notice of a shutdown has an envelope or none."""
        message = message_in(frame)
        if message is None:
            return None
        if _is_shutdown(message):
            return Shutdown()
        if "stream" in message or "e" in message:
            return None
        error = message.get("error", message if "code" in message else None)
        if error:
            return Refusal(quoted(_reason_of(error)), _id_of(message))
        number = _id_of(message)
        return Ack(number) if "result" in message and number is not None else None


def _text_of(name: bytes) -> str:
    """Decodes a name in JSON text; an invalid one is not the name of any stream."""
    if b"\\" in name:
        with suppress(msgspec.MsgspecError, UnicodeError):
            return msgspec.json.decode(b'"' + name + b'"', type=str)
    return name.decode(errors="replace")


def _is_shutdown(message: dict[str, Any]) -> bool:
    inner = message.get("data", message)
    return isinstance(inner, dict) and inner.get("e") == "serverShutdown"


def _id_of(message: dict[str, Any]) -> int | None:
    """The id of the request in a reply; None unless it is a whole number, as all of ours are."""
    number = message.get("id")
    return number if type(number) is int else None


def _reason_of(error: Any) -> str:
    if isinstance(error, dict):
        return f"{word_of(error.get('code'))}: {word_of(error.get('msg'))}"
    return word_of(error)
