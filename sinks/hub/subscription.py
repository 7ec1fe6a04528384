"""Subscriptions of clients, and the requests that change them.

A subscription is a list of rules; the newest rule that covers a message decides. So a request has the same meaning
whatever came before: all candles but those of one symbol, one symbol's trades and the prices of all.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from flows.model import timeframe_ms
from flows.names import symbol_of
from sinks.hub.messages import CHANNELS, Topic

OPS = ("subscribe", "unsubscribe", "ping")
DEFAULT_CHANNELS = ("MarketData", "ChartUpdate")
"""What a client gets without a request."""
WITH_SYMBOL = tuple(channel for channel in CHANNELS if channel not in {"Status", "Incident"})
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
    """The rules of a client. Equal rules make equal subscriptions, so clients with the same rules share the work."""

    __slots__ = ("_known", "rules")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self._known: dict[Topic, bool] = {}  # as many as the hub has topics

    def named(self, names_of: NamesOf) -> "Subscription":
        """With the venues' own names of the symbols."""
        return Subscription(tuple(rule.named(names_of) for rule in self.rules))

    def wants(self, topic: Topic) -> bool:
        """Whether a message of this topic is for the client."""
        known = self._known.get(topic)
        if known is None:
            decisive = (rule.wanted for rule in reversed(self.rules) if rule.covers(topic))
            known = self._known[topic] = next(decisive, False)
        return known

    def forget(self, is_gone: Callable[[Topic], bool]) -> None:
        """Drops cached decisions about topics without messages for now."""
        self._known = {topic: known for topic, known in self._known.items() if not is_gone(topic)}

    def with_rule(self, rule: Rule) -> "Subscription":
        """The subscription after a request. The first `subscribe` replaces the default; `RequestError` when there would
        be too many rules.
        """
        if rule.wanted and self == DEFAULT:
            return Subscription((rule,))
        older = [other for other in self.rules if not rule.includes(other)]
        if len(older) >= RULES_LIMIT:
            raise RequestError(f"more than {RULES_LIMIT} different requests: ask for several names in one")
        return Subscription((*older, rule) if older or rule.wanted else ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subscription) and self.rules == other.rules

    def __hash__(self) -> int:
        return hash(self.rules)


DEFAULT = Subscription((Rule(wanted=True, channels=frozenset(DEFAULT_CHANNELS)),))


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """`{"op":"subscribe","channels":[…],"symbols":[…],"timeframes":[…],"venues":[…]}`; an omitted list means all.

    Except for the channels: `subscribe` then means `MarketData` and `ChartUpdate`, and `unsubscribe` the channels with
    the dimensions that it names: without `1m` a client still gets prices.
    """

    op: str
    channels: list[str] | None = None
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


def parse_request(payload: str | bytes) -> Rule | Ping:
    """A client's message, JSON as text or MessagePack as binary; `RequestError` names the known ones."""
    try:
        decode: Any = msgspec.json.decode if isinstance(payload, str) else msgspec.msgpack.decode
        request: Request = decode(payload, type=Request)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RequestError(f"not understood: {error}") from error
    if request.op not in OPS:
        raise RequestError(f"unknown op {request.op!r}; known are {', '.join(OPS)}")
    if request.op == "ping":
        return Ping()
    return build_rule(
        wanted=request.op == "subscribe",
        channels=request.implied_channels() if request.channels is None else request.channels,
        symbols=request.symbols,
        timeframes=request.timeframes,
        venues=request.venues,
    )


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
