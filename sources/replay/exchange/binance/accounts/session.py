"""A client's session on the WebSocket API: who is logged on, and which user streams it has. Source: `web-socket-api`.

Not known, and so chosen: the codes where no one is logged on (-1002) and where a key cannot log on (-4056).
"""

from typing import NamedTuple

import msgspec

from flows.websocket import BINARY, TEXT, encode_frame
from sources.replay.accounts.keys import ApiKey, is_key
from sources.replay.exchange.binance.accounts import spot_events as events
from sources.replay.exchange.binance.accounts.service import BinanceAccounts
from sources.replay.exchange.binance.accounts.signing import check_signature, check_time, without_signing
from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.rest import Answer
from sources.replay.exchange.binance.ws_methods import Connection, Method
from sources.replay.exchange.dialect import AccountsView
from sources.replay.market.market import MarketKind, Message
from sources.replay.protocol.frames import in_microseconds
from sources.signatures import sorted_payload

MOST_SUBSCRIPTIONS = 1_000
"""Most user streams of a connection at a time."""
_ALL_SUBSCRIPTIONS = 65_535
"""The same over its life."""
_WEIGHT = 2
_PATHS: dict[MarketKind, dict[str, tuple[str, str]]] = {
    "spot": {
        "account.status": ("GET", "/api/v3/account"),
        "myTrades": ("GET", "/api/v3/myTrades"),
        "openOrders.status": ("GET", "/api/v3/openOrders"),
    },
    "usdm": {
        "account.status": ("GET", "/fapi/v2/account"),
        "account.balance": ("GET", "/fapi/v2/balance"),
        "account.position": ("GET", "/fapi/v2/positionRisk"),
        "v2/account.status": ("GET", "/fapi/v3/account"),
        "v2/account.balance": ("GET", "/fapi/v3/balance"),
        "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    },
}
"""The request of REST whose answer a method has."""
_LISTEN_KEYS = {"start": "POST", "ping": "PUT", "stop": "DELETE"}


class EventEncoding(NamedTuple):
    """How events are sent on a connection: in an envelope without the name of a stream, but with the number of the
    subscription of an account.
    """

    microseconds: bool
    subscriptions: tuple[tuple[str, int], ...] = ()
    """Of each user stream."""

    def frame(self, message: Message) -> bytes:
        """The WebSocket frame of one event."""
        if message.frame is not None:
            return encode_frame(message.frame, BINARY if message.is_binary else TEXT)
        number = dict(self.subscriptions).get(message.stream)
        if number is None:
            return encode_frame(b'{"event":%b}' % (in_microseconds(message) if self.microseconds else message.data))
        return encode_frame(enveloped(message.data, number, microseconds=self.microseconds))


def enveloped(event: bytes, number: int, *, microseconds: bool) -> bytes:
    """An event of an account in its envelope."""
    data = events.in_microseconds(event) if microseconds else event
    return b'{"subscriptionId":%d,"event":%b}' % (number, data)


class AccountSession:
    """What one connection may see of accounts."""

    def __init__(self, kind: MarketKind, accounts: BinanceAccounts, view: AccountsView) -> None:
        self._kind: MarketKind = kind
        self._accounts = accounts
        self._view = view
        self._key: ApiKey | None = None
        self._since_ms = 0
        self._subscriptions: dict[str, int] = {}
        self._by_logon: str | None = None
        self._subscribed = 0
        self._ended: list[int] = []

    @property
    def subscriptions(self) -> tuple[tuple[str, int], ...]:
        """The user streams of the connection with their numbers."""
        return tuple(self._subscriptions.items())

    def take_ended(self) -> list[tuple[int, bytes]]:
        """The subscriptions that have ended since the last call, each with its last event."""
        ended, self._ended = self._ended, []
        event = msgspec.json.encode(events.terminated(self._view.true_ms))
        return [(number, event) for number in ended]

    def methods(self) -> dict[str, Method]:
        """What it answers, by the name of the method."""
        answers: dict[str, Method] = {
            "session.logon": self._log_on,
            "session.status": self._status,
            "session.logout": self._log_out,
        }
        if self._kind == "spot":
            answers |= {
                "userDataStream.subscribe": self._subscribe,
                "userDataStream.subscribe.signature": self._subscribe_signed,
                "userDataStream.unsubscribe": self._unsubscribe,
                "session.subscriptions": self._list,
            }
        else:
            answers |= {f"userDataStream.{name}": self._listen_key(method) for name, method in _LISTEN_KEYS.items()}
        return answers | {name: self._signed(*endpoint) for name, endpoint in _PATHS[self._kind].items()}

    # --- who it is ---------------------------------------------------------------------------------------------------

    def _log_on(self, connection: Connection, parameters: Parameters) -> Answer:
        key = self._signing_key(parameters)
        if key.kind != "ed25519":
            raise ApiError(-4056, f"{_KINDS[key.kind]} API key is not supported.")
        self._key, self._since_ms = key, self._view.now_ms
        return self._status(connection, parameters)

    def _log_out(self, connection: Connection, parameters: Parameters) -> Answer:
        self._key = None
        if self._by_logon is not None:
            self._end(self._by_logon)
        return self._status(connection, parameters)

    def _status(self, connection: Connection, _: Parameters) -> Answer:
        body = {
            "apiKey": self._key.name if self._key else None,
            "authorizedSince": self._since_ms if self._key else None,
            "connectedSince": connection.opened_ms,
            "returnRateLimits": connection.shows_limits,
            "serverTime": self._view.now_ms,
            "userDataStream": self._by_logon is not None,
        }
        return Answer(body, _WEIGHT)

    def _signing_key(self, parameters: Parameters) -> ApiKey:
        """The key that a request is signed with; `ApiError` where it is refused."""
        key = self._named_key(parameters)
        check_time(parameters, self._view.now_ms)
        check_signature(key, payload_of(parameters), parameters)
        return key

    def _named_key(self, parameters: Parameters) -> ApiKey:
        name = parameters.required("apiKey")
        if not is_key(name):
            raise ApiError(-2014, "API-key format invalid.", status=401)
        return self._accounts.key(name)

    def _caller(self, parameters: Parameters) -> ApiKey:
        """The key of a signed request: who is logged on need not sign."""
        if self._key is None or parameters.text("apiKey") is not None:
            return self._signing_key(parameters)
        check_time(parameters, self._view.now_ms)
        return self._key

    # --- user streams ------------------------------------------------------------------------------------------------

    def _subscribe(self, _: Connection, __: Parameters) -> Answer:
        if self._key is None:
            raise ApiError(-1002, "You are not authorized to execute this request.", status=401)
        answer = self._open(self._key)
        self._by_logon = events.user_stream(self._key.account)
        return answer

    def _subscribe_signed(self, _: Connection, parameters: Parameters) -> Answer:
        return self._open(self._signing_key(parameters))

    def _open(self, key: ApiKey) -> Answer:
        stream = events.user_stream(key.account)
        if stream in self._subscriptions:
            raise ApiError(-2035, "User Data Stream subscription already active.")
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS or self._subscribed >= _ALL_SUBSCRIPTIONS:
            raise ApiError(-1003, "Too many User Data Stream subscriptions.")
        number, self._subscribed = self._subscribed, self._subscribed + 1
        self._subscriptions[stream] = number
        return Answer({"subscriptionId": number}, _WEIGHT)

    def _unsubscribe(self, _: Connection, parameters: Parameters) -> Answer:
        number = parameters.integer("subscriptionId")
        chosen = [stream for stream, own in self._subscriptions.items() if number in (None, own)]
        if not chosen:
            raise ApiError(-2036, "User Data Stream subscription not active.")
        for stream in chosen:
            self._end(stream)
        return Answer({}, _WEIGHT)

    def _end(self, stream: str) -> None:
        self._ended.append(self._subscriptions.pop(stream))
        if stream == self._by_logon:
            self._by_logon = None

    def _list(self, _: Connection, __: Parameters) -> Answer:
        return Answer([{"subscriptionId": number} for number in self._subscriptions.values()], _WEIGHT)

    def _listen_key(self, method: str) -> Method:
        def answer(_: Connection, parameters: Parameters) -> Answer:
            key = self._named_key(parameters)
            found = self._accounts.answer_to(key.account, method, "/fapi/v1/listenKey", Parameters({}))
            return found._replace(weight=5)

        return answer

    # --- what REST answers too ---------------------------------------------------------------------------------------

    def _signed(self, method: str, path: str) -> Method:
        def answer(_: Connection, parameters: Parameters) -> Answer:
            key = self._caller(parameters)
            rest = without_signing(item for item in parameters.sent.items() if item[0] != "apiKey")
            return self._accounts.answer_to(key.account, method, path, Parameters(rest))

        return answer


_KINDS = {"hmac": "HMAC_SHA256", "rsa": "RSA"}


def payload_of(parameters: Parameters) -> bytes:
    """What a signature is made of: the other parameters, sorted by name, as they were sent."""
    return sorted_payload(parameters.signed.items())
