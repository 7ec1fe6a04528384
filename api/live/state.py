"""The state of one venue: the latest message of each channel and symbol of one hub about it. Pure.

Ages count from the exchange's time of a message to the venue's time that the flow publishes. They never stand still.
"""

from collections import Counter, deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from api.live.messages import HubMessage, ms_of
from api.live.venue_time import VenueTime
from sinks.hub.payloads import BalanceBody, HeartbeatBody, InstrumentBody, PositionBody
from sinks.hub.rights import ACCOUNT_CHANNELS

INCIDENTS_KEPT: Final = 200
EVENTS: Final = ("Trade", "Incident", "Alert", "Candle", "ChartUpdate", "Liquidation")
"""Channels whose messages are events: the latest one is not a state."""
TIMELESS: Final = ("Status", "Incident", "Alert")
"""Channels whose stamps may not be the feed's time: before the first market message they use the wall clock."""


class VenueState:
    """Latest price, ticker, book, statistics and state by symbol, state by venue connection, last incidents; balances,
    positions and states of accounts.
    """

    def __init__(self, venue: str, clock: VenueTime | None = None) -> None:
        self.venue = venue
        self.origin = ""
        self.clock = clock or VenueTime()
        self.is_connected = True
        """Whether the hub is connected now."""
        self.states: dict[str, InstrumentBody] = {}
        """By symbol, the newest state that the flow published."""
        self.incidents: deque[HubMessage] = deque(maxlen=INCIDENTS_KEPT)
        self.counts: Counter[str] = Counter()
        """Messages by channel."""
        self.last_stamps: dict[str, int] = {}
        """Stamp of the newest message by channel."""
        self._latest: dict[tuple[str, str], HubMessage] = {}
        self._connections: dict[str, HubMessage] = {}
        self._of_accounts: dict[tuple[str, ...], HubMessage] = {}
        self._symbols: frozenset[str] | None = frozenset()  # None: recompute

    def take(self, message: HubMessage) -> None:
        """Applies a message."""
        channel = message.channel
        if channel not in TIMELESS:
            self.clock.on_stamp(message.stamp_ms)
        self.counts[channel] += 1
        self.last_stamps[channel] = message.stamp_ms
        if channel == "Status":
            self._take_status(message)
        elif channel == "Incident":
            self.incidents.append(message)
        elif channel in ACCOUNT_CHANNELS:
            self._take_account(message)
        elif channel not in EVENTS:
            key = channel, message.symbol
            if key not in self._latest:
                self._symbols = None
            self._latest[key] = message

    def _take_status(self, message: HubMessage) -> None:
        body = message.body
        self.origin = body.origin
        match body:
            case HeartbeatBody():
                self.clock.on_heartbeat(ms_of(body.time) if body.time else 0, is_sure=body.clock != "unsure")
                return
            case InstrumentBody():
                before = self.states.get(body.symbol)
                self.states[body.symbol] = body
                if before and bool(before.channels) == bool(body.channels):
                    return
            case _ if body.state == "removed":
                self._remove(frozenset(body.symbols))
            case _:
                self._connections[body.line] = message
        self._symbols = None

    def _take_account(self, message: HubMessage) -> None:
        """Keeps what there is, and drops a balance or position of nothing."""
        body = message.body
        key: tuple[str, ...]
        match body:
            case BalanceBody():
                key, is_there = ("Balance", body.account, body.asset), bool(body.total)
            case PositionBody():
                key, is_there = ("Position", body.account, body.symbol, body.side), bool(body.quantity)
            case _:
                key, is_there = ("Account", body.account), True
        if is_there:
            self._of_accounts[key] = message
        else:
            self._of_accounts.pop(key, None)

    def of_accounts(self, channel: str, account: str = "") -> list[HubMessage]:
        """The newest message of every balance, position or account, in alphabetical order; of one account, or all."""
        keys = sorted(key for key in self._of_accounts if key[0] == channel and account in ("", key[1]))
        return [self._of_accounts[key] for key in keys]

    def _remove(self, removed: frozenset[str]) -> None:
        self._latest = {key: known for key, known in self._latest.items() if key[1] not in removed}
        for symbol in removed:
            self.states.pop(symbol, None)

    def drop(self, symbol: str) -> None:
        """Another flow has this symbol now."""
        self._remove(frozenset((symbol,)))
        self._symbols = None

    def forget(self) -> None:
        """Drops the state before the hub sends a new one. Incidents are past events and stay."""
        self._latest.clear()
        self._connections.clear()
        self._of_accounts.clear()
        self.states.clear()
        self.clock.forget_heartbeat()
        self._symbols = None

    def latest(self, channel: str, symbol: str) -> HubMessage | None:
        """The newest message of a channel about a symbol."""
        return self._latest.get((channel, symbol))

    def all_latest(self, channel: str) -> list[HubMessage]:
        """The newest message about every symbol, in alphabetical order."""
        return [self._latest[key] for key in sorted(key for key in self._latest if key[0] == channel)]

    def connections(self) -> list[HubMessage]:
        """The newest status message of every venue connection, by name."""
        return [self._connections[name] for name in sorted(self._connections)]

    def symbols(self) -> AbstractSet[str]:
        """The followed symbols. One that the exchange does not list may have a state and no data."""
        if self._symbols is None:
            reported = (symbol for _, symbol in self._latest if symbol)
            carried = (symbol for symbol, state in self.states.items() if state.channels)
            of_connections = (message.body.symbols for message in self._connections.values())
            self._symbols = frozenset(reported).union(carried, *of_connections)
        return self._symbols

    @property
    def publishes_states(self) -> bool:
        """Whether this flow publishes states or heartbeats."""
        return bool(self.states) or self.clock.is_alive

    def age_ms(self, message: HubMessage) -> int:
        """Age of a message."""
        return self.ages_ms([message])[0]

    def ages_ms(self, messages: Iterable[HubMessage]) -> list[int]:
        """Age of each message."""
        now_ms = self.clock.now_ms
        return [max(0, now_ms - one.time_ms) for one in messages]
