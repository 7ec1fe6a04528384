"""The clients by subscription, and sending messages to all of them."""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from flows.clock import Now
from flows.texts import counted
from sinks.hub.client import Client
from sinks.hub.messages import Encoding, Message, Topic
from sinks.hub.subscription import Subscription

TRY_AGAIN_LATER: Final = 1013
"""Close code of a client that is too slow (IANA, WebSocket Close Code Number Registry)."""

_Group: TypeAlias = dict[Client, None]
"""Clients with the same subscription and encoding, in the order in which they joined."""


class Counters(Struct):
    """Counts since the hub started."""

    clients: int = 0
    """Connected now."""
    sent: int = 0
    """Frames handed to clients."""
    dropped: int = 0
    """Messages lost by slow clients or a flooded hub; one lost by ten clients counts ten."""
    lagged: int = 0
    """Times a client fell so far behind that it lost messages."""


class Fanout:
    """The clients of a hub. True while there are any."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Subscription, Encoding], _Group] = {}
        self._ticks = 0
        self.counters = Counters()

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, client: Client) -> None:
        """Adds a client, also one with a changed subscription."""
        self._groups.setdefault((client.subscription, client.encoding), {})[client] = None
        self.counters.clients += 1

    def remove(self, client: Client) -> None:
        """Removes a client; a second call changes nothing."""
        key = (client.subscription, client.encoding)
        group = self._groups.get(key, {})
        if client in group:
            self.counters.clients -= 1
            del group[client]
            if not group:
                del self._groups[key]

    def forget(self, is_gone: Callable[[Topic], bool]) -> None:
        """Drops what is cached about topics."""
        for subscription, _ in self._groups:
            subscription.forget(is_gone)

    def clients(self) -> list[Client]:
        """All clients."""
        return [client for group in self._groups.values() for client in group]

    def lose(self, count: int, now: Now) -> None:
        """Counts `count` lost messages for every client, as each may have wanted them."""
        for client in self.clients():
            client.lose(count)
            self._count_loss(client, count)
            self.pump(client, now)

    def send(self, messages: list[Message], now: Now) -> None:
        """Sends each message to the clients that want it, or to their queues. The first client rotates, so that none
        always waits for all others.
        """
        self._ticks += 1
        stuck: list[Client] = []
        for (subscription, encoding), clients in self._groups.items():
            wanted = [message for message in messages if subscription.wants(message.topic)]
            if wanted:
                everyone, first = list(clients), self._ticks % len(clients)
                stuck += self._fan_out(wanted, encoding, everyone[first:] + everyone[:first], now)
        for client in stuck:
            self._give_up(client)

    def _fan_out(
        self, messages: list[Message], encoding: Encoding, clients: Iterable[Client], now: Now
    ) -> list[Client]:
        """Sends the same messages to all clients; returns those that have been behind for too long."""
        joined = b""
        stuck = []
        for client in clients:
            if client.behind:
                self._count_loss(client, client.queue(messages, now.local))
                if client.is_stuck(now.local):
                    stuck.append(client)
            else:
                joined = joined or b"".join([message.frame(encoding) for message in messages])
                client.write(joined, now.local)
                self.counters.sent += len(messages)
        return stuck

    def pump(self, client: Client, now: Now) -> None:
        """Sends what waits for a client, while its connection has room."""
        self.counters.sent += client.pump(now.local)

    def _count_loss(self, client: Client, count: int) -> None:
        if count:
            self.counters.dropped += count
            self.counters.lagged += client.dropped == count

    def _give_up(self, client: Client) -> None:
        self.remove(client)
        client.peer.begin_close(TRY_AGAIN_LATER, f"too slow: {counted(client.dropped, 'message')} dropped")
