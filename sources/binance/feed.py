"""Binance's market streams: addresses, names, requests and replies (spot `web-socket-streams`, USD-M `Connect`).

Always in combined mode, for a raw spot book ticker or partial book does not say what it is. The streams go over two
lines, `public` for books and `market` for the rest, as USD-M demands by its paths; spot takes the same division, so
that a burst of book data does not hold up trades.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec

from flows.foreign import quoted
from flows.settings import Feed
from sources.feed import Ack, ConnectionPlan, Control, Refusal, Shutdown, Wishes

MARKET_LINE = "market"
PUBLIC_LINE = "public"

INTERVALS = frozenset(
    ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M")
)
"""Kline intervals; USD-M lacks `1s`."""

_WS_URLS = {
    ("binance", "live"): "wss://stream.binance.com:9443",
    ("binance", "testnet"): "wss://stream.testnet.binance.vision:9443",
    ("binance-usdm", "live"): "wss://fstream.binance.com",
    ("binance-usdm", "testnet"): "wss://fstream.binancefuture.com",
}
_REQUESTS_PER_S = {"binance": 5, "binance-usdm": 10}
_NAMES_PER_REQUEST = 200
_ENVELOPE = b'{"stream":"'
_NAME_ENDS = len(_ENVELOPE) + 512
"""Where the name of a stream has ended, at the latest: names may be long, and written in escapes."""
_HEAD = slice(len(_ENVELOPE), len(_ENVELOPE) + 24)
"""Of all frames of a stream the same: nothing that changes stands so near the begin."""
_LONG_HEAD = slice(len(_ENVELOPE), len(_ENVELOPE) + 38)
"""The same for names that are longer than the head."""
_BOOK_KINDS = frozenset(("depth", "bookTicker"))


class BinanceFeed:
    """The streams that the settings ask for, of spot or USD-M."""

    def __init__(self, settings: Feed) -> None:
        """`ValueError` when no address is set and the origin has none of its own."""
        self.venue: str = settings.venue
        self._settings = settings
        self._base = settings.ws_url or _WS_URLS.get((settings.venue, settings.origin), "")
        if not self._base:
            raise ValueError(f"feed.origin is {settings.origin}: set feed.ws_url to the address that serves it")
        self._base = self._base.rstrip("/")
        self.request_interval_s = 1.0 / (_REQUESTS_PER_S[settings.venue] - 1)
        self._ids = count(1)
        self._wanted: set[str] = set()
        """Names of the streams that were ever planned: only their heads are remembered."""
        self._names: dict[bytes, str] = {}
        """Streams by the heads of frames that were seen."""

    # --- where to go ---

    def plans(
        self, wishes: Wishes, current: Sequence[ConnectionPlan] = (), *, quiet: frozenset[str] = frozenset()
    ) -> list[ConnectionPlan]:
        """Each symbol's streams of a line stay on one connection, and new ones go to the emptiest."""
        following = {line: self._dealt(line, wishes, current) for line in (MARKET_LINE, PUBLIC_LINE)}
        of_current = [(plan.line, following[plan.line].pop(0)) for plan in current]
        more = [(line, carried) for line, parts in following.items() for carried in parts]
        return [self._plan(line, carried, quiet) for line, carried in (*of_current, *more)]

    def _dealt(self, line: str, wishes: Wishes, current: Sequence[ConnectionPlan]) -> list[dict[str, tuple[str, ...]]]:
        """The kinds by symbol of each connection of a line. One that is full of what it has may want even more of that:
        the venue's limit is well above ours.
        """
        wanted = {symbol: kinds for symbol in wishes if (kinds := self._kinds_on(line, wishes[symbol]))}
        sizes = {symbol: len(kinds) for symbol, kinds in wanted.items()}
        parts = [[symbol for symbol in plan.kinds if symbol in wanted] for plan in current if plan.line == line]
        most = self._settings.streams_per_connection
        fewest = min(len(wanted), max(self._settings.connections, -(-sum(sizes.values()) // most)))
        parts += [[] for _ in range(fewest - len(parts))]
        loads = [sum(sizes[symbol] for symbol in part) for part in parts]
        dealt = {symbol for part in parts for symbol in part}
        for symbol in (symbol for symbol in wanted if symbol not in dealt):
            place = loads.index(min(loads))
            if loads[place] and loads[place] + sizes[symbol] > most:
                place = len(parts)
                parts.append([])
                loads.append(0)
            parts[place].append(symbol)
            loads[place] += sizes[symbol]
        return [{symbol: wanted[symbol] for symbol in part} for part in parts]

    def _kinds_on(self, line: str, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """One kind a stream, each once."""
        single = (name for kind in kinds or self._settings.streams for name in self._single(kind))
        return tuple(dict.fromkeys(name for name in single if self._line_of(name) == line))

    def _single(self, kind: str) -> tuple[str, ...]:
        """The kinds of single streams that a kind stands for; of klines, those that the venue has."""
        if not kind.startswith("kline"):
            return (kind,)
        timeframes = self._settings.timeframes if kind == "kline" else (kind.removeprefix("kline_"),)
        return tuple(f"kline_{timeframe}" for timeframe in timeframes if timeframe in INTERVALS)

    def _plan(self, line: str, kinds: dict[str, tuple[str, ...]], quiet: frozenset[str]) -> ConnectionPlan:
        names = {_name(symbol, kind): (symbol, kind) for symbol in kinds for kind in kinds[symbol]}
        self._wanted.update(names)
        return ConnectionPlan(line, self._url(line), kinds, names, quiet & kinds.keys())

    def _url(self, line: str) -> str:
        route = f"/{line}" if self.venue == "binance-usdm" else ""
        return f"{self._base}{route}/stream"

    def _line_of(self, kind: str) -> str:
        """USD-M serves its undocumented `trade` with the books."""
        is_public = kind in _BOOK_KINDS or (kind == "trade" and self.venue == "binance-usdm")
        return PUBLIC_LINE if is_public else MARKET_LINE

    # --- what to say ---

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

    # --- what the answers mean ---

    def channel_of(self, frame: bytes) -> str:
        """The stream that the envelope names, as in `btcusdt@aggTrade`."""
        name = self._names.get(frame[_HEAD])
        return self._looked_up(frame) if name is None else name

    def _looked_up(self, frame: bytes) -> str:
        """The name in a frame's text; remembered if a head of the frame has it whole."""
        known = self._names.get(frame[_LONG_HEAD])
        if known is not None:
            return known
        begin = len(_ENVELOPE)
        end = frame.find(b'"', begin, _NAME_ENDS)
        if end < 0 or not frame.startswith(_ENVELOPE) or b"@" not in frame[begin:end]:
            return ""
        name = _text_of(frame[begin:end])
        if end < _LONG_HEAD.stop and name in self._wanted:
            self._names[frame[_HEAD if end < _HEAD.stop else _LONG_HEAD]] = name
        return name

    def control_of(self, frame: bytes) -> Control | None:
        """Replies come bare; errors flat or wrapped; the notice of a shutdown bare or as a stream of its own."""
        try:
            message: Any = msgspec.json.decode(frame)
        except Exception:  # noqa: BLE001 - malformed, not in UTF-8, nested without end: the parser refuses it in public
            return None
        if not isinstance(message, dict):
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
    """A name as it stands in JSON, escapes resolved; what cannot be read is the name of no stream."""
    if b"\\" in name:
        with suppress(msgspec.MsgspecError, UnicodeError):
            return msgspec.json.decode(b'"' + name + b'"', type=str)
    return name.decode(errors="replace")


def _is_shutdown(message: dict[str, Any]) -> bool:
    inner = message.get("data", message)
    return isinstance(inner, dict) and inner.get("e") == "serverShutdown"


def _id_of(message: dict[str, Any]) -> int | None:
    """The number of the request that is answered; ours are whole numbers, and nothing else is one of them."""
    number = message.get("id")
    return number if type(number) is int else None


def _reason_of(error: Any) -> str:
    if isinstance(error, dict):
        return f"{_word(error.get('code'))}: {_word(error.get('msg'))}"
    return _word(error)


def _word(value: Any) -> str:
    """What the venue has written there, whatever it is."""
    return value if isinstance(value, str) else repr(value) if isinstance(value, int | float | None) else "…"


def _name(symbol: str, kind: str) -> str:
    """The stream of a symbol, as the venue names it."""
    return f"{symbol.lower()}@{'depth@100ms' if kind == 'depth' else kind}"
