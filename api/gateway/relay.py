"""Sends the messages of several hubs on, numbered anew. Pure; the clients are those of `sinks/hub/outlet.py`.

What a hub has merged and throttled comes as it is. The messages of hubs keep their stamps, in the venue's time. When a
hub could not resume, what was missed of it is unknown: its state is replaced, and every client gets `Reset` and a new
snapshot, as from a hub that was restarted.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from api.live.hub_protocol import Cut, Earlier, Joined, LiveEvent, Lost, Replaced
from api.live.messages import HubMessage
from flows.clock import Now
from sinks.hub.hub_settings import HubSettings
from sinks.hub.market.accounts import is_nothing, topic_of_account
from sinks.hub.market.derivatives import LIQUIDATIONS_SHOWN
from sinks.hub.messages import CHANNELS, Envelope, Message, Topic
from sinks.hub.outlet import Outlet
from sinks.hub.payloads import HeartbeatBody, InstrumentBody, StatusBody, iso_utc
from sinks.hub.rights import ACCOUNT_CHANNELS
from sinks.hub.subscription import NamesOf, as_named

LATEST: Final = frozenset(
    ("MarketData", "Ticker", "OrderBook", "BookTicker", "Stats", "MarkPrice", "Funding", "OpenInterest")
)
"""Channels of which a later message replaces the one before it."""


class RelayedMessage(Message, eq=False, gc=False):
    """A message of a hub; `item` is its payload."""

    def envelope(self) -> Envelope:
        """The message before it is encoded."""
        return Envelope(self.topic.channel, self.item, iso_utc(self.stamp_ms), self.seq)


class Relay(Outlet):
    """The clients of all hubs behind one address."""

    def __init__(
        self, settings: HubSettings, *, venues: Iterable[str], first_seq: int, names_of: NamesOf = as_named
    ) -> None:
        """`venues` are those expected, at least one; the hubs name theirs and their origins."""
        self.origins = dict.fromkeys(venues, "")
        """By venue, where its data comes from; "" before its hub was connected."""
        super().__init__(settings, origins=self.origins, first_seq=first_seq, names_of=names_of)
        self._replacing: set[str] = set()
        self._hub_of: dict[Topic, str] = {}
        self._lines: dict[tuple[str, str, str], Message] = {}
        """By hub, venue and line, the newest state of a connection to the venue."""
        self._liquidations: Counter[Topic] = Counter()

    @property
    def is_filled(self) -> bool:
        """Whether it is known what there is to resume from."""
        return True

    def has(self, seq: int) -> bool:  # noqa: ARG002 - the stream's relay reads it
        """Whether a client that has this number may join now."""
        return True

    @property
    def is_replacing(self) -> bool:
        """Whether the state of a hub that did not resume is not complete yet."""
        return bool(self._replacing)

    def take(self, event: LiveEvent, now: Now) -> None:
        """Takes an event of the live view."""
        match event:
            case HubMessage():
                if event.hub not in self._replacing and event.channel in CHANNELS:
                    self._keep(self._send(self._numbered(event)), event)
            case Joined():
                if not event.resumed:
                    self._replacing.add(event.url)
            case Replaced():
                self._replacing.discard(event.url)
                self._replace(event, now)
            case Lost():
                self.on_loss(event.dropped, now)
            case Cut():
                self._replacing.discard(event.url)

    def on_origins(self, origins: Mapping[str, str]) -> None:
        """Takes the venues of the hubs and where their data comes from."""
        self.origins.update(origins)

    def _numbered(self, message: HubMessage) -> Message:
        is_forming = message.channel == "Candle" and not message.body.candle.is_closed
        is_state = message.channel == "Status" and isinstance(message.body, HeartbeatBody | InstrumentBody)
        return RelayedMessage(
            _topic_of(message),
            message.body,
            seq=self._number(message),
            stamp_ms=message.stamp_ms,
            mergeable=message.channel in LATEST or message.channel in ACCOUNT_CHANNELS or is_forming or is_state,
        )

    def _number(self, message: HubMessage) -> int:  # noqa: ARG002 - the stream's relay reads it
        return self._next_seq()

    def _keep(self, message: Message, received: HubMessage) -> None:
        """Keeps what new clients get, as the hub does."""
        topic, body = message.topic, received.body
        if topic.symbol or topic.of_account:
            self._hub_of[topic] = received.hub
        match topic.channel:
            case "Candle" | "ChartUpdate" if body.candle.is_closed:
                self._state.put_closed(message, open_time=body.candle.open_time)
            case "Candle":
                self._state.put_forming(message, open_time=body.candle.open_time)
            case "Liquidation":
                self._state.put(message, line=str(self._liquidations[topic] % LIQUIDATIONS_SHOWN))
                self._liquidations[topic] += 1
            case "Status":
                self._keep_status(message, received)
            case channel if channel in ACCOUNT_CHANNELS and is_nothing(body):
                self._state.drop(topic)
            case channel if channel in LATEST or channel in ACCOUNT_CHANNELS:
                self._state.put(message)

    def _keep_status(self, message: Message, received: HubMessage) -> None:
        match received.body:
            case StatusBody(state="removed", symbols=symbols):
                removed = frozenset(symbols)
                self._drop(lambda topic: _is_of(topic, received.venue, removed))
            case StatusBody(line=line):
                named = f"{received.flow} {line}".strip()
                self._lines[received.hub, received.venue, named] = message
                self._state.put(message, line=f"{received.hub} {named}")
            case InstrumentBody():
                self._state.put(message)

    def _replace(self, event: Replaced, now: Now) -> None:
        gone = {key: message for key, message in self._lines.items() if key[0] == event.url}
        self._lines = {key: message for key, message in self._lines.items() if key not in gone}
        of_lines = {message.topic for message in gone.values()}
        self._drop(lambda topic: topic in of_lines or self._hub_of.get(topic) == event.url)
        for (hub, _, line), message in self._lines.items():
            if message.topic in of_lines:  # another hub's, of the same venue
                self._state.put(message, line=f"{hub} {line}")
        for received in event.messages:
            if received.channel in CHANNELS:
                self._keep(self._numbered(received), received)
        self._begin_anew(now)

    def _drop(self, is_gone: Callable[[Topic], bool]) -> None:
        self._forget(is_gone)
        for topic in [topic for topic in self._hub_of if is_gone(topic)]:
            del self._hub_of[topic]
            self._liquidations.pop(topic, None)


class StreamRelay(Relay):
    """The clients of a bus. The numbers are the stream's, so a client may resume at any other relay of it; they rise,
    with gaps where messages are not for this relay.
    """

    def __init__(self, settings: HubSettings, *, venues: Iterable[str], names_of: NamesOf = as_named) -> None:
        """As for `Relay`."""
        super().__init__(settings, venues=venues, first_seq=0, names_of=names_of)
        self._is_filled = False

    @property
    def is_filled(self) -> bool:
        """Whether state and earlier messages were received."""
        return self._is_filled

    def has(self, seq: int) -> bool:
        """Whether everything up to this number was received, what came before the state too."""
        return self._is_filled and self._seq >= seq

    def take(self, event: LiveEvent, now: Now) -> None:
        """Takes an event of the live view."""
        if isinstance(event, Earlier):
            for message in event.messages:
                if message.channel in CHANNELS:
                    self._recent.put(self._numbered(message))
            self._seq, self._is_filled = max(self._seq, event.seq), True
            return
        if isinstance(event, Lost):
            self._seq = max(self._seq, event.seq)
        if isinstance(event, Replaced):
            self._seq = 0  # it may be another stream, whose numbers are lower
            self._is_filled = False
        super().take(event, now)

    def _next_seq(self) -> int:
        return self._seq

    def _number(self, message: HubMessage) -> int:
        self._seq = max(self._seq, message.seq)
        return message.seq


def _is_of(topic: Topic, venue: str, symbols: frozenset[str]) -> bool:
    """Whether it is about a market of one of the symbols; positions stay when a market is not followed any more."""
    return topic.venue == venue and topic.symbol in symbols and not topic.of_account


def _topic_of(message: HubMessage) -> Topic:
    if message.channel in ACCOUNT_CHANNELS:
        return topic_of_account(message.body, message.venue)
    return Topic(message.channel, message.symbol or "", getattr(message.body, "timeframe", ""), message.venue)
