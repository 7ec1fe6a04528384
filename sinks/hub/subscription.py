"""Subscriptions of clients, and the requests that change them.

A subscription is a list of rules; the newest rule that covers a message decides. So a request has the same meaning
whatever came before: all candles but those of one symbol, one symbol's trades and the prices of all.

A subscription carries the rights of its client: whatever the rules say, it wants nothing that these do not allow.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from flows.model import timeframe_ms
from flows.names import symbol_of
from sinks.hub.messages import CHANNELS, Topic
from sinks.hub.rights import MARKET, Rights, may_have, refused

OPS = ("subscribe", "unsubscribe", "ping")
DEFAULT_CHANNELS = ("MarketData", "ChartUpdate")
"""What a client gets without a request."""
WITH_SYMBOL = tuple(channel for channel in CHANNELS if channel not in {"Status", "Incident", "Balance", "Account"})
WITH_TIMEFRAME = ("ChartUpdate", "Candle")
RULES_LIMIT = 64
"""Most rules of one subscription; a further request is refused."""

Names: TypeAlias = frozenset[str] | None
"""Names in one dimension; None: all."""
NamesOf: TypeAlias = Callable[[str, Names], Iterable[str]]
"""The own names of a symbol, which is one of them or any common spelling, at these venues."""


def as_named(symbol: str, _: Names) -> Iterable[str]:
    """The symbol alone, where the venues' lists are not known."""
    return (symbol,)


class RequestError(ValueError):
    """A request that is refused; the text is sent to the client."""


class RightError(RequestError):
    """A request for what the client has no right to."""


class Rule(NamedTuple):
    """Whether the messages that it covers are wanted."""

    wanted: bool
    channels: frozenset[str]
    symbols: Names = None
    timeframes: Names = None
    venues: Names = None

    def covers(self, topic: Topic) -> bool:
        """Whether it covers a topic. A topic without symbol (a status) or timeframe (a price) matches any."""
        return (
            topic.channel in self.channels
            and (self.symbols is None or not topic.symbol or topic.symbol in self.symbols)
            and (self.timeframes is None or not topic.timeframe or topic.timeframe in self.timeframes)
            and (self.venues is None or topic.venue in self.venues)
        )

    def named(self, names_of: NamesOf) -> "Rule":
        """With the venues' own names of the symbols."""
        if self.symbols is None:
            return self
        return self._replace(symbols=frozenset(name for text in self.symbols for name in names_of(text, self.venues)))

    def includes(self, other: "Rule") -> bool:
        """Whether it covers all that another one covers, and so replaces it."""
        return (
            other.channels <= self.channels
            and (self.symbols is None or (other.symbols is not None and other.symbols <= self.symbols))
            and (self.timeframes is None or (other.timeframes is not None and other.timeframes <= self.timeframes))
            and (self.venues is None or (other.venues is not None and other.venues <= self.venues))
        )


class Subscription:
    """Rules and rights of a client. Equal ones make equal subscriptions, so clients with the same share the work."""

    __slots__ = ("_known", "is_default", "rights", "rules")

    def __init__(self, rules: tuple[Rule, ...], rights: Rights = MARKET, *, is_default: bool = False) -> None:
        self.rules = rules
        self.rights = rights
        self.is_default = is_default
        """Whether its client has made no request yet, so that the first `subscribe` replaces it."""
        self._known: dict[Topic, bool] = {}  # as many as the hub has topics

    def named(self, names_of: NamesOf) -> "Subscription":
        """With the venues' own names of the symbols."""
        return Subscription(tuple(rule.named(names_of) for rule in self.rules), self.rights, is_default=self.is_default)

    def wants(self, topic: Topic) -> bool:
        """Whether a message of this topic is for the client."""
        known = self._known.get(topic)
        if known is None:
            decisive = (rule.wanted for rule in reversed(self.rules) if rule.covers(topic))
            known = self._known[topic] = _may_have(self.rights, topic) and next(decisive, False)
        return known

    def forget(self, is_gone: Callable[[Topic], bool]) -> None:
        """Drops cached decisions about topics without messages for now."""
        self._known = {topic: known for topic, known in self._known.items() if not is_gone(topic)}

    def with_rule(self, rule: Rule) -> "Subscription":
        """The subscription after a request. The first `subscribe` replaces the default; `RequestError` when there would
        be too many rules.
        """
        if rule.wanted and self.is_default:
            return Subscription((rule,), self.rights)
        older = [other for other in self.rules if not rule.includes(other)]
        if len(older) >= RULES_LIMIT:
            raise RequestError(f"more than {RULES_LIMIT} different requests: ask for several names in one")
        return Subscription((*older, rule) if older or rule.wanted else (), self.rights)

    def only(self, rule: Rule) -> "Subscription":
        """One rule, with the same rights."""
        return Subscription((rule,), self.rights)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subscription) and (self.rules, self.rights) == (other.rules, other.rights)

    def __hash__(self) -> int:
        return hash((self.rules, self.rights))


def default_of(rights: Rights) -> Subscription:
    """The subscription of a client with these rights that has made no request."""
    return Subscription((Rule(wanted=True, channels=frozenset(DEFAULT_CHANNELS)),), rights, is_default=True)


DEFAULT = default_of(MARKET)


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """`{"op":"subscribe","channels":[…],"symbols":[…],"timeframes":[…],"venues":[…]}`; an omitted list means all.
    Channels in `optional` are left out where the client has no right to them.

    Except for the channels: `subscribe` then means `MarketData` and `ChartUpdate`, and `unsubscribe` the channels with
    the dimensions that it names: without `1m` a client still gets prices.
    """

    op: str
    channels: list[str] | None = None
    optional: list[str] = []
    symbols: list[str] | None = None
    timeframes: list[str] | None = None
    venues: list[str] | None = None

    def implied_channels(self) -> tuple[str, ...]:
        """The channels of a request that names none."""
        if self.op == "subscribe":
            return DEFAULT_CHANNELS
        if self.timeframes is not None:
            return WITH_TIMEFRAME
        return CHANNELS if self.symbols is None else WITH_SYMBOL


class Ping(NamedTuple):
    """Requests a `Pong`."""


def parse_request(payload: str | bytes, rights: Rights = MARKET) -> Rule | Ping:
    """A message of a client with these rights, JSON as text or MessagePack as binary; `RequestError` names the known
    ones, or what it has no right to.
    """
    try:
        decode: Any = msgspec.json.decode if isinstance(payload, str) else msgspec.msgpack.decode
        request: Request = decode(payload, type=Request)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RequestError(f"not understood: {error}") from error
    if request.op not in OPS:
        raise RequestError(f"unknown op {request.op!r}; known are {', '.join(OPS)}")
    if request.op == "ping":
        return Ping()
    wanted = request.op == "subscribe"
    channels = request.implied_channels() if request.channels is None else request.channels
    return build_rule(
        wanted=wanted,
        channels=granted(rights, channels, request.optional) if wanted else channels,
        symbols=request.symbols,
        timeframes=request.timeframes,
        venues=request.venues,
    )


def granted(rights: Rights, channels: Sequence[str], optional: Sequence[str]) -> list[str]:
    """The channels of a subscription: all of `channels`, and of `optional` those that the rights allow. `RightError`
    where the rights do not allow one of `channels`.
    """
    if missing := refused(rights, channels):
        names = ", ".join(missing)
        raise RightError(f"{names}: this needs a token with the right account; the setting is hub.account_token")
    return [*channels, *(channel for channel in optional if may_have(rights, channel) and channel not in channels)]


def build_rule(
    *,
    wanted: bool,
    channels: Sequence[str],
    symbols: Sequence[str] | None,
    timeframes: Sequence[str] | None,
    venues: Sequence[str] | None = None,
) -> Rule:
    """A rule of names as clients write them: symbols in any case. `RequestError` for invalid names."""
    named = {"channels": channels, "symbols": symbols, "timeframes": timeframes, "venues": venues}
    for dimension, names in named.items():
        if names is not None and not names:
            raise RequestError(f"{dimension} is empty: name some, or leave it out for all")
    for channel in channels:
        if channel not in CHANNELS:
            raise RequestError(f"unknown channel {channel!r}; known are {', '.join(CHANNELS)}")
    for timeframe in timeframes or ():
        _check_timeframe(timeframe)
    return Rule(
        wanted,
        frozenset(channels),
        None if symbols is None else frozenset(_symbol(name) for name in symbols),
        None if timeframes is None else frozenset(timeframes),
        None if venues is None else frozenset(venues),
    )


def check_venues(rule: Rule, venues: Collection[str]) -> None:
    """`RequestError` for a rule that wants messages of a venue of which none will come; `venues` are the flow's."""
    unknown = sorted((rule.venues or frozenset()).difference(venues))
    if rule.wanted and unknown:
        raise RequestError(f"unknown venue {unknown[0]!r}; known are {', '.join(sorted(venues))}")


def _may_have(rights: Rights, topic: Topic) -> bool:
    return may_have(rights, topic.channel) and (not topic.of_account or "account" in rights)


def _check_timeframe(timeframe: str) -> None:
    try:
        timeframe_ms(timeframe)
    except ValueError as error:
        raise RequestError(str(error)) from error


def _symbol(name: str) -> str:
    try:
        return symbol_of(name.strip())
    except ValueError as error:
        raise RequestError(str(error)) from error
