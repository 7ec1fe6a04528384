"""Kraken's market streams: addresses, names, requests and replies (https://docs.kraken.com/api/docs/guides/spot-ws-intro).

Two lines with connections of their own: books, so that a burst of them delays no trade, and the rest. A request names
instruments of one channel; the venue answers for each of them, and refuses those it does not have one by one.
"""

from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any, Final

import msgspec
import structlog

from flows.foreign import quoted
from sources.feed import Ack, ConnectionPlan, Control, DesiredStreams, Refusal
from sources.frames import message_in, word_of
from sources.kraken.names import INTERVALS, TIMEFRAMES, symbol_of_venue, venue_name
from sources.kraken.rules import BOOK_LINE, MARKET_LINE
from sources.spread import plans_of
from sources.venue import FeedSettings, address_of

_log = structlog.get_logger(__name__)

_WS_URLS: Final = {"live": "wss://ws.kraken.com/v2"}
_TRADES: Final = ("aggTrade", "trade")
_NAMES_PER_REQUEST: Final = 50
_MOST_OPEN: Final = 10_000
"""Requests whose replies are waited for; of more, the oldest are forgotten."""
_HEAD: Final = 600
"""Bytes within which a message names its channel, its instrument and its interval."""
_SYMBOL: Final = b'"symbol":"'
_INTERVAL: Final = b'"interval":'
_CHANNEL: Final = b'{"channel":"'
_LONGEST_NAME: Final = 64
_MOST_NAMES: Final = 20_000
_HEARTBEAT: Final = "heartbeat"
_INSTRUMENTS: Final = {"method": "subscribe", "params": {"channel": "instrument", "snapshot": True}}
_NO_REQUEST: Final = 0
"""Ours begin with 1."""


class KrakenFeed:
    """The streams that the settings name."""

    request_interval_s = 0.1

    def __init__(self, settings: FeedSettings) -> None:
        """`ValueError` when no address is set and the origin has no default."""
        self.venue: str = settings.venue
        self._settings = settings
        self._url = address_of(settings, "ws_url", _WS_URLS.get(settings.origin))
        self._ids = count(1)
        self._open: dict[int, dict[str, str]] = {}
        """By id of a request the instruments without a reply, by the venue's name, and their streams."""
        self._lists: dict[int, None] = {}
        """Requests for the channel `instrument` without a reply."""
        self._planned: dict[str, str] = {}
        """By `symbol@kind` the whole names of all streams ever planned."""
        self._names: dict[tuple[bytes, bytes], str] = {}
        """Cache: streams by channel and instrument as messages write them."""

    # --- connections ---

    def plans(
        self,
        desired: DesiredStreams,
        current: Sequence[ConnectionPlan] = (),
        *,
        not_trading: frozenset[str] = frozenset(),
    ) -> list[ConnectionPlan]:
        """A symbol's streams of a line stay on one connection; new symbols go to the one with the fewest streams."""
        return plans_of(
            (MARKET_LINE, BOOK_LINE), desired, current, settings=self._settings,
            kinds_on=self._kinds_on, plan=partial(self._plan, desired=desired, not_trading=not_trading),
        )  # fmt: skip

    def _kinds_on(self, line: str, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """The kinds of single streams on a line, each once, of klines those that the venue has. A book names best bid
        and ask at each change, so `bookTicker` needs a stream only without `depth`: the one of `ticker`.
        """
        wanted = kinds or self._settings.streams
        if line == BOOK_LINE:
            return ("depth",) if "depth" in wanted else ()
        single: dict[str, None] = {}
        for kind in wanted:
            if kind in _TRADES or kind == "ticker":
                single[kind] = None
            elif kind.startswith("kline"):
                frames = self._settings.timeframes if kind == "kline" else (kind.removeprefix("kline_"),)
                single |= dict.fromkeys(f"kline_{frame}" for frame in frames if frame in INTERVALS)
        if self._needs_quotes(wanted) and "ticker" not in wanted:
            single["bookTicker"] = None
        return tuple(single)

    def _needs_quotes(self, kinds: tuple[str, ...]) -> bool:
        return "bookTicker" in (wanted := kinds or self._settings.streams) and "depth" not in wanted

    def _plan(
        self,
        line: str,
        carried: dict[str, tuple[str, ...]],
        *,
        desired: DesiredStreams,
        not_trading: frozenset[str],
    ) -> ConnectionPlan:
        names = {
            self._name(symbol, kind, has_quotes=self._needs_quotes(desired[symbol])): (symbol, kind)
            for symbol, kinds in carried.items()
            for kind in kinds
        }
        for name in names:
            self._planned["@".join(name.split("@")[:2])] = name
        return ConnectionPlan(
            line, self._url, carried, names, not_trading & carried.keys(), heartbeat=_HEARTBEAT if names else ""
        )

    def _name(self, symbol: str, kind: str, *, has_quotes: bool) -> str:
        if kind in _TRADES:
            return f"{symbol}@trade"
        if kind == "depth":
            return f"{symbol}@depth@{self._settings.book_levels}"
        if kind in ("ticker", "bookTicker"):
            return f"{symbol}@ticker@{'bbo' if has_quotes else 'trades'}"
        return f"{symbol}@{kind}"

    # --- requests ---

    def subscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """Requests for up to 50 instruments of one channel; before those for books one for the list of instruments, as
        its decimals are needed for their checksums.
        """
        lists = [self._list_request()] if any("@depth" in name for name in streams) else []
        return [*lists, *self._requests("subscribe", streams)]

    def _list_request(self) -> tuple[int, str]:
        request_id = next(self._ids)
        self._lists[request_id] = None
        while len(self._lists) > _MOST_OPEN:
            del self._lists[next(iter(self._lists))]
        return request_id, msgspec.json.encode(_INSTRUMENTS | {"req_id": request_id}).decode()

    def unsubscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """The same, to end streams."""
        return self._requests("unsubscribe", streams)

    def _requests(self, method: str, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        by_kind: dict[str, list[str]] = {}
        for name in streams:
            by_kind.setdefault(name.partition("@")[2], []).append(name)
        requests = []
        for kind, names in by_kind.items():
            for start in range(0, len(names), _NAMES_PER_REQUEST):
                request_id = next(self._ids)
                waiting = {
                    venue_name(name.partition("@")[0]): name for name in names[start : start + _NAMES_PER_REQUEST]
                }
                self._open[request_id] = waiting
                params = _params(kind, subscribes=method == "subscribe") | {"symbol": list(waiting)}
                body = {"method": method, "params": params, "req_id": request_id}
                requests.append((request_id, msgspec.json.encode(body).decode()))
        while len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        return requests

    # --- frames ---

    def channel_of(self, frame: bytes) -> str:
        """The stream of a message, by its channel and first instrument; `heartbeat` for the venue's sign of life."""
        if not frame.startswith(_CHANNEL):
            return ""
        channel = frame[len(_CHANNEL) : frame.find(b'"', len(_CHANNEL), _HEAD)]
        begin = frame.find(_SYMBOL, 0, _HEAD) + len(_SYMBOL)
        end = frame.find(b'"', begin, begin + _LONGEST_NAME)
        if begin < len(_SYMBOL) or end < 0:
            return _HEARTBEAT if channel == b"heartbeat" else ""
        if channel == b"ohlc":
            at = frame.find(_INTERVAL, 0, _HEAD) + len(_INTERVAL)
            channel += frame[at : at + 6] if at >= len(_INTERVAL) else b""
        known = self._names.get((channel, frame[begin:end]))
        return self._name_of(channel, frame[begin:end]) if known is None else known

    def _name_of(self, channel: bytes, instrument: bytes) -> str:
        symbol = symbol_of_venue(instrument.decode(errors="replace").replace("\\/", "/"))
        kind = {b"trade": "trade", b"ticker": "ticker", b"book": "depth"}.get(channel, "")
        if channel.startswith(b"ohlc"):
            digits = channel[4:].partition(b",")[0].partition(b"}")[0]
            minutes = int(digits) if digits.isdigit() else 0
            kind = f"kline_{TIMEFRAMES[minutes]}" if minutes in TIMEFRAMES else ""
        if not kind:
            return ""
        name = self._planned.get(f"{symbol}@{kind}")
        if name is not None and len(self._names) < _MOST_NAMES:
            self._names[channel, instrument] = name
        return name or f"{symbol}@{kind}"

    def control_of(self, frame: bytes) -> Control | None:
        """Replies name the request and the instrument; the last one of a request confirms it."""
        message = message_in(frame)
        if message is None:
            return None
        if message.get("method") not in ("subscribe", "unsubscribe"):
            return _refusal_without_request(message)
        number, result = message.get("req_id"), message.get("result")
        request_id = number if type(number) is int else _NO_REQUEST
        if request_id in self._lists:
            return self._on_list(request_id, message)
        instrument = message.get("symbol", result.get("symbol") if isinstance(result, dict) else None)
        waiting = self._open.get(request_id, {})
        name = waiting.pop(instrument, "") if isinstance(instrument, str) else ""
        is_last = request_id != _NO_REQUEST and not waiting
        if is_last:
            self._open.pop(request_id, None)
        if message.get("success") is True:
            return Ack(request_id) if is_last else None
        reason = quoted(word_of(message.get("error")))
        if not name:  # it concerns the whole request
            return Refusal(reason, None if request_id == _NO_REQUEST else request_id)
        return Refusal(reason, request_id if is_last else None, stream=name)

    def _on_list(self, request_id: int, message: dict[str, Any]) -> Ack:
        """The reply for the list of instruments. A refusal concerns no stream: without the list digits count as they
        are printed, and statuses come by REST.
        """
        del self._lists[request_id]
        if message.get("success") is not True:
            _log.warning("instruments_refused", venue=self.venue, reason=quoted(word_of(message.get("error"))))
        return Ack(request_id)


def _params(kind: str, *, subscribes: bool) -> dict[str, Any]:
    """What a request says of a channel; the kind is that of a stream's name, without its symbol."""
    channel, _, detail = kind.partition("@")
    if channel.startswith("kline_"):
        params: dict[str, Any] = {"channel": "ohlc", "interval": INTERVALS[channel.removeprefix("kline_")]}
        return params | ({"snapshot": False} if subscribes else {})
    if channel == "depth":
        return {"channel": "book", "depth": int(detail)}
    if channel == "ticker":
        return {"channel": "ticker", "event_trigger": detail}
    return {"channel": channel} | ({"snapshot": False} if subscribes else {})


def _refusal_without_request(message: dict[str, Any]) -> Refusal | None:
    """An error that answers no subscription, as for a message that the venue cannot read."""
    return Refusal(quoted(word_of(message["error"]))) if message.get("error") and "channel" not in message else None
