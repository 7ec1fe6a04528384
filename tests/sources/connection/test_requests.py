"""Replies that name no request are of the one that waits longest."""

import asyncio
from typing import Any, cast

from sources.connection.requests import Requests
from sources.feed import IN_ORDER, Ack, Refusal, VenueFeed


class Feed:
    """Without a pause between requests."""

    request_interval_s = 0.0


class Socket:
    """Notes what is sent, and answers with the next of these replies, each of them as many as there are."""

    def __init__(self, *replies: list[Ack | Refusal]) -> None:
        self.requests = Requests(cast("VenueFeed", Feed()), timeout_s=30.0)
        self.sent: list[str] = []
        self._replies = iter(replies)

    async def send(self, text: str) -> None:
        self.sent.append(text)
        for reply in next(self._replies, []):
            asyncio.get_running_loop().call_soon(self.requests.take, reply)

    async def ask(self, *numbers: int) -> str | None:
        return await self.requests.send(cast("Any", self), [(number, f"request {number}") for number in numbers])


async def test_each_reply_confirms_the_oldest_request() -> None:
    socket = Socket([], [Ack(IN_ORDER)], [Ack(IN_ORDER), Ack(IN_ORDER)])
    assert await socket.ask(1, 2, 3) is None
    assert socket.requests.is_confirmed
    assert socket.sent == ["request 1", "request 2", "request 3"]


async def test_after_a_refusal_only_what_was_sent_has_replies_to_come() -> None:
    socket = Socket([Ack(IN_ORDER)], [], [Refusal("no", IN_ORDER)], [Ack(IN_ORDER), Ack(IN_ORDER)])
    assert await socket.ask(1, 2, 3) == "no"
    assert await socket.ask(4) is None, "the first of these replies is that of request 3"
    assert not socket.requests.take(Refusal("late", IN_ORDER))


async def test_a_reply_to_nothing_is_taken_or_left() -> None:
    requests = Socket().requests
    assert requests.take(Ack(IN_ORDER))
    assert not requests.take(Refusal("no", IN_ORDER))
