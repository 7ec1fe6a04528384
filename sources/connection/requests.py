"""Requests to the venue on one socket, at its pace, and what it answers to them."""

import asyncio
import time

from sources.connection.transport import Socket, TransportError
from sources.feed import Ack, Refusal, VenueFeed

AFTER_REFUSAL = 2
"""So many times the venue's pace passes before the next request after a refusal: pongs count as well, and one refusal
seldom comes alone.
"""


class RequestError(Exception):
    """A request that was not answered: the socket has failed, or the venue says nothing. The text is the reason."""


class Requests:
    """Asks, and waits for the answers."""

    def __init__(self, feed: VenueFeed, *, timeout_s: float) -> None:
        """An answer that does not come within `timeout_s` never comes."""
        self._feed = feed
        self._timeout_s = timeout_s
        self._open: set[int] = set()
        self._given_up: set[int] = set()
        """Requests whose answers nobody waits for any more, since one beside them was refused."""
        self._words: str | None = None
        self._answered = asyncio.Event()
        self._next_s = 0.0

    def take(self, answer: Ack | Refusal) -> bool:
        """Whether it answers one of these requests. Most of the time none is open."""
        if answer.id in self._given_up:
            self._given_up.discard(answer.id)
            return True
        if isinstance(answer, Ack):
            if answer.id in self._open:
                self._open.discard(answer.id)
                if not self._open:
                    self._answered.set()
            return True
        if not self._open or (answer.id is not None and answer.id not in self._open):
            return False
        self._words = answer.reason
        self._given_up = self._open - {answer.id}
        self._open = set()
        self._answered.set()
        return True

    @property
    def is_confirmed(self) -> bool:
        """Whether the venue has done all that was asked for last."""
        return self._answered.is_set() and self._words is None

    async def ask(self, socket: Socket, requests: list[tuple[int, str]]) -> str | None:
        """Makes requests that belong together. None when all are done; the venue's words when it refuses one of them,
        and then nothing is known of the others. `RequestError` when it does not answer.
        """
        if not requests:
            return None
        self._words = None
        self._answered.clear()
        self._open = {request_id for request_id, _ in requests}
        try:
            for _, text in requests:
                await asyncio.sleep(self._next_s - time.monotonic())
                if self._words is not None:
                    break
                self._next_s = time.monotonic() + self._feed.request_interval_s
                await socket.send(text)
            async with asyncio.timeout(self._timeout_s):
                await self._answered.wait()
            # a quick succession of questions and answers must not look quicker to the venue than it is here
            pace_s = self._feed.request_interval_s * (1 if self._words is None else AFTER_REFUSAL)
            self._next_s = max(self._next_s, time.monotonic() + pace_s)
        except TransportError as error:
            raise RequestError(str(error)) from error
        except TimeoutError:
            raise RequestError(f"the venue did not confirm the subscription within {self._timeout_s:g} s") from None
        return self._words
