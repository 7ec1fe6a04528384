"""Requests to the venue on one socket, at its rate limit, and their replies."""

import asyncio
import time

from sources.connection.transport import Socket, TransportError
from sources.feed import IN_ORDER, Ack, LineFeed, Refusal

AFTER_REFUSAL = 2
"""Multiple of `request_interval_s` before the next request after a refusal: more refusals often follow."""


class RequestError(Exception):
    """A request without a reply: the socket has failed, or the reply timed out. The text is the reason."""


class Requests:
    """Sends requests and waits for their replies."""

    def __init__(self, feed: LineFeed, *, timeout_s: float) -> None:
        """`RequestError` for a reply that takes longer than `timeout_s`."""
        self._feed = feed
        self._timeout_s = timeout_s
        self._open: dict[int, None] = {}
        """In the order in which they are sent, as `_given_up`."""
        self._sent: set[int] = set()
        """Those of the last call."""
        self._given_up: dict[int, None] = {}
        """Requests whose replies are ignored, since another one of the same call was refused."""
        self._words: str | None = None
        self.refused: dict[str, str] = {}
        """Streams of the last call that the venue has refused by name, and its reason; the others are not touched."""
        self._answered = asyncio.Event()
        self._next_s = 0.0

    def take(self, answer: Ack | Refusal) -> bool:
        """Whether it is a reply to one of these requests."""
        request_id = self._oldest if answer.id == IN_ORDER else answer.id
        if request_id in self._given_up:
            del self._given_up[request_id]
            return True
        if isinstance(answer, Refusal) and answer.stream:
            self.refused[answer.stream] = answer.reason
        if isinstance(answer, Ack) or answer.stream:
            if request_id in self._open:
                del self._open[request_id]
                if not self._open:
                    self._answered.set()
            return True
        if not self._open or (request_id is not None and request_id not in self._open):
            return False
        self._words = answer.reason
        self._given_up |= dict.fromkeys(sent for sent in self._open if sent != request_id and sent in self._sent)
        self._open = {}
        self._answered.set()
        return True

    @property
    def _oldest(self) -> int | None:
        """The request that waits longest for its reply; `take` may be called without any."""
        return next(iter((*self._given_up, *self._open)), None)

    @property
    def is_confirmed(self) -> bool:
        """Whether the venue has confirmed all requests of the last call."""
        return self._answered.is_set() and self._words is None

    async def send(self, socket: Socket, requests: list[tuple[int, str]]) -> str | None:
        """Sends requests that belong together. None when all are confirmed, but for the streams in `refused`;
        the venue's reason when it refuses one of them, and the state of the others is unknown then. `RequestError`
        without a reply.
        """
        if not requests:
            self.refused = {}
            return None
        self._words, self.refused = None, {}
        self._answered.clear()
        self._open = dict.fromkeys(request_id for request_id, _ in requests)
        self._sent = set()
        try:
            for request_id, text in requests:
                await asyncio.sleep(self._next_s - time.monotonic())
                if self._words is not None:
                    break
                self._next_s = time.monotonic() + self._feed.request_interval_s
                self._sent.add(request_id)
                await socket.send(text)
            async with asyncio.timeout(self._timeout_s):
                await self._answered.wait()
            # the venue may see requests at a shorter interval than we send them, so the interval counts from the reply
            pace_s = self._feed.request_interval_s * (1 if self._words is None else AFTER_REFUSAL)
            self._next_s = max(self._next_s, time.monotonic() + pace_s)
        except TransportError as error:
            raise RequestError(str(error)) from error
        except TimeoutError:
            raise RequestError(f"the venue did not confirm the subscription within {self._timeout_s:g} s") from None
        return self._words
