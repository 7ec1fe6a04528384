"""Numbers messages and sends them to the clients that want them. Pure; the methods are called by one thread.

    emit ─▶ number, replay buffer ─▶ tick ─▶ flush: joined frames, once for equal subscriptions
                                        └▶ a client that is behind: its own queue

`seq` rises by one with every message, wanted or not, and no client ever sees it fall. It begins at a number that the
composition root takes from the clock, in microseconds. There are less than a million messages a second, so a later
process always begins with a higher number, and numbers of two processes are never confused.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from flows.clock import Now
from sinks.hub.client import Client, Peer
from sinks.hub.fanout import Counters, Fanout
from sinks.hub.hub_settings import HubSettings
from sinks.hub.market.replay_buffer import ReplayBuffer
from sinks.hub.market.state import StateCache
from sinks.hub.messages import Encoding, Envelope, Message, Sendable, Topic
from sinks.hub.payloads import HeartbeatBody, HeartbeatUpdate, iso_utc
from sinks.hub.replies import ErrorData, Pong, Reply, Reset, SharedReply, SubscribedData, snapshot_parts
from sinks.hub.subscription import (
    NamesOf,
    Ping,
    RequestError,
    Rule,
    Subscription,
    as_named,
    check_venues,
    parse_request,
)


class Outlet:
    """The clients of all venues, as drawn in the module's docstring. What is sent, and how often, is the caller's."""

    def __init__(
        self, settings: HubSettings, *, origins: Mapping[str, str], first_seq: int, names_of: NamesOf = as_named
    ) -> None:
        """`origins` are those of the venues' data, at least one, read anew for each request. `names_of` gives the
        venues' own names of what clients write.
        """
        self._settings = settings
        self._origins = origins
        self._names_of = names_of
        self._seq = first_seq
        self._recent = ReplayBuffer(settings.ring)
        self._state = StateCache()
        self._tick: list[Message] = []
        self._fanout = Fanout()
        self.published: Counter[str] = Counter()
        """Messages by channel, wanted or not."""

    @property
    def counters(self) -> Counters:
        """Counts so far; the object is live."""
        return self._fanout.counters

    # --- input ---

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def _send(self, message: Message) -> Message:
        """Takes a message that has the next number; it is sent with the next `flush`."""
        self.published[message.topic.channel] += 1
        self._recent.put(message)
        if self._fanout:
            self._tick.append(message)
        return message

    def _forget(self, is_gone: Callable[[Topic], bool]) -> None:
        self._state.forget(is_gone)
        self._fanout.forget(is_gone)

    def on_loss(self, count: int, now: Now) -> None:
        """Reports the loss of `count` items before they arrived to every client, as each may have wanted them. The loss
        has a number of its own, and nothing from before it can be resumed: who is away gets `Reset` and a snapshot.
        """
        self.flush(now)
        self._next_seq()
        self._recent.clear()
        self._fanout.lose(count, now)

    def _begin_anew(self, now: Now) -> None:
        """Every client drops its state and gets the present one; no message from before can be resumed."""
        self._recent.clear()
        self._tick.clear()
        replies: dict[Subscription, list[Sendable]] = {}
        for client in self._fanout.clients():
            if client.subscription not in replies:
                parts = self._snapshot(client.subscription, now)
                replies[client.subscription] = [SharedReply(Reset()), *parts]
            client.begin_anew(replies[client.subscription])
            self._fanout.pump(client, now)

    # --- clients ---

    def join(
        self,
        peer: Peer,
        now: Now,
        *,
        encoding: Encoding,
        subscription: Subscription,
        resume_after: int | None = None,
    ) -> Client:
        """Adds a client. With `resume_after` it first gets the messages since then, else it begins with the next
        message.
        """
        self.flush(now)
        own = subscription.named(self._names_of)
        client = Client(peer, encoding=encoding, subscription=own, capacity=self._settings.capacity)
        self._fanout.add(client)
        if resume_after is not None:
            client.put_ahead(self._missed(client, resume_after, now))
            self._fanout.pump(client, now)
        return client

    def leave(self, client: Client) -> None:
        """Removes a client; a second call changes nothing."""
        self._fanout.remove(client)

    def on_request(self, client: Client, payload: str | bytes, now: Now) -> None:
        """Answers a client's message. Only called while the client is not behind: the requests of one that does
        not read must wait.
        """
        self.flush(now)
        try:
            request = parse_request(payload, client.subscription.rights)
            replies = [self._pong(now)] if isinstance(request, Ping) else self._answer(client, request, now)
        except RequestError as error:
            replies = [self._reply("Error", ErrorData(str(error)), now)]
        self.reply(client, replies, now)

    def reply(self, client: Client, replies: Iterable[Sendable], now: Now) -> None:
        """Sends messages to one client, before what comes later."""
        client.put_ahead(replies)
        self._fanout.pump(client, now)

    def on_writable(self, client: Client, now: Now) -> None:
        """A client's connection has room again."""
        client.resume()
        self._fanout.pump(client, now)

    def _answer(self, client: Client, requested: Rule, now: Now) -> list[Sendable]:
        data, snapshot = self.change(client, requested, now)
        return [self._reply("Subscribed" if requested.wanted else "Unsubscribed", data, now), *snapshot]

    def change(self, client: Client, requested: Rule, now: Now) -> tuple[SubscribedData, list[Sendable]]:
        """Changes a subscription: the request as it was understood, and the snapshot of what it adds, neither of which
        is sent. `RequestError` when it is refused. Only called while the client is not behind.
        """
        self.flush(now)
        check_venues(requested, self._origins)
        rule = requested.named(self._names_of)
        subscription = client.subscription.with_rule(rule)
        self._fanout.remove(client)
        client.subscription = subscription
        self._fanout.add(client)
        data = SubscribedData.of(rule, self._origins, subscription.rights)
        return data, self._snapshot(subscription.only(rule), now) if rule.wanted else []

    # --- messages to one client ---

    def _missed(self, client: Client, after: int, now: Now) -> Iterable[Sendable]:
        missed = self._recent.after(after, newest=self._seq)
        if missed is not None:
            return [message for message in missed if client.subscription.wants(message.topic) and not _is_past(message)]
        return [SharedReply(Reset()), *self._snapshot(client.subscription, now)]

    def _snapshot(self, subscription: Subscription, now: Now) -> list[Sendable]:
        envelopes = [message.envelope() for message in self._state.messages(subscription.wants)]
        stamp = iso_utc(now.feed)
        return [SharedReply(Envelope("Snapshot", part, stamp, self._seq)) for part in snapshot_parts(envelopes)]

    def _pong(self, now: Now) -> Sendable:
        return Reply(Pong(iso_utc(now.feed), self._seq))

    def _reply(self, kind: str, data: Struct, now: Now) -> Sendable:
        return Reply(Envelope(kind, data, iso_utc(now.feed), self._seq))

    # --- sending ---

    def flush(self, now: Now) -> None:
        """Ends the tick: sends its messages to the clients that want them, or to their queues."""
        messages, self._tick = self._tick, []
        if messages:
            self._fanout.send(messages, now)


def _is_past(message: Message) -> bool:
    """Whether a replay must leave it out: an old heartbeat is no sign of life."""
    return isinstance(message.item, HeartbeatUpdate | HeartbeatBody)
