"""Binance's market streams: addresses, names, requests and replies (spot `web-socket-streams`, USD-M `Connect`).

Always in combined mode, for a raw spot book ticker or partial book does not say what it is. The streams go over two
lines, `public` for books and `market` for the rest, as USD-M demands by its paths; spot takes the same division, so
that a burst of book data does not hold up trades.
"""

from collections.abc import Sequence
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
_NAME_ENDS = 64
_CHANNEL_LENGTH = 4
_HEAD = slice(len(_ENVELOPE), len(_ENVELOPE) + 24)
"""Of all frames of a stream the same: nothing that changes stands so near the begin."""
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
        self._channels: dict[bytes, bytes] = {}
        """By the heads of frames that were seen."""

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
        streams = {_name(symbol, kind): symbol for symbol in kinds for kind in kinds[symbol]}
        loud = [name for name, symbol in streams.items() if symbol not in quiet]
        channels = frozenset(self.channel_of(f'{{"stream":"{name}","'.encode()) for name in loud)
        return ConnectionPlan(line, self._url(line), kinds, tuple(streams), channels)

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

    def channel_of(self, frame: bytes) -> bytes:
        """The first letters of the stream's kind: `aggT`, `kline`'s `klin`, `dept`, …"""
        channel = self._channels.get(frame[_HEAD])
        return self._looked_up(frame) if channel is None else channel

    def _looked_up(self, frame: bytes) -> bytes:
        """The channel in a frame's text; remembered if the head of the frame has it whole."""
        begin = frame.find(b"@", len(_ENVELOPE), _NAME_ENDS) + 1
        if not begin or not frame.startswith(_ENVELOPE):
            return b""
        channel = frame[begin : begin + _CHANNEL_LENGTH]
        if begin + _CHANNEL_LENGTH <= _HEAD.stop:
            self._channels[frame[_HEAD]] = channel
        return channel

    def control_of(self, frame: bytes) -> Control | None:
        """Replies come bare; errors flat or wrapped; the notice of a shutdown bare or as a stream of its own."""
        if b"serverShutdown" in frame:
            return Shutdown()
        try:
            reply: Any = msgspec.json.decode(frame)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        if not isinstance(reply, dict) or "stream" in reply or "e" in reply:
            return None
        error = reply.get("error", reply if "code" in reply else None)
        if error:
            text = f"{error.get('code')}: {error.get('msg')}" if isinstance(error, dict) else str(error)
            return Refusal(quoted(text))
        return Ack(reply["id"]) if "result" in reply and isinstance(reply.get("id"), int) else None


def _name(symbol: str, kind: str) -> str:
    """The stream of a symbol, as the venue names it."""
    return f"{symbol.lower()}@{'depth@100ms' if kind == 'depth' else kind}"
