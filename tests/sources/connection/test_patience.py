import asyncio
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sources.connection.patience import MUCH_BYTES, PatientLoop, PatientSelector, let_wait, new_loop

needs_patience = pytest.mark.skipif(
    not hasattr(selectors.DefaultSelector, "fileno"), reason="this system's selector cannot be waited for"
)


class Clock:
    """A clock that only moves by hand."""

    s = 100.0

    def __call__(self) -> float:
        return self.s


@contextmanager
def lines(clock: Callable[[], float], count: int = 2) -> Iterator[tuple[PatientSelector, list[socket.socket]]]:
    """A selector that waits for 50 ms, and the far ends of sockets on it, of which the first can wait."""
    selector, pairs = PatientSelector(0.05, monotonic_s=clock), [socket.socketpair() for _ in range(count)]
    selector.let_wait(pairs[0][0].fileno(), can_wait=True)
    for number, (near, _) in enumerate(pairs):
        selector.register(near.fileno(), selectors.EVENT_READ, (number, near))
    try:
        yield selector, [far for _, far in pairs]
    finally:
        selector.close()
        for pair in pairs:
            for end in pair:
                end.close()


def ready(selector: PatientSelector, *, reads: bool = True) -> list[int]:
    """The numbers of the lines that are ready at this moment."""
    found = [key.data for key, _ in selector.select(0)]
    for _, near in found if reads else ():
        near.recv(1 << 20)
    return sorted(number for number, _ in found)


@needs_patience
def test_what_can_wait_is_read_at_once_after_a_pause_and_together_after_that() -> None:
    clock = Clock()
    with lines(clock) as (selector, (calm, prompt)):
        calm.send(b"first")
        assert ready(selector) == [0]
        calm.send(b"second")
        prompt.send(b"trade")
        assert ready(selector) == [1], "the others are read at once"
        clock.s += 0.049
        calm.send(b"third")
        assert ready(selector) == []
        clock.s += 0.002
        assert ready(selector) == [0]
        clock.s += 1
        calm.send(b"after a pause")
        assert ready(selector) == [0]


@needs_patience
def test_a_burst_is_read_on_and_a_socket_that_may_not_wait_any_more_does_not() -> None:
    clock = Clock()
    with lines(clock) as (selector, (calm, _)):
        calm.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MUCH_BYTES)
        calm.send(bytes(2 * MUCH_BYTES))
        assert ready(selector, reads=False) == [0]
        assert ready(selector) == [0], "much was left"
        calm.send(b"little")
        assert ready(selector, reads=False) == []
        [number] = [key.fd for key in selector.get_map().values() if key.data[0] == 0]
        selector.let_wait(number, can_wait=False)
        assert ready(selector) == [0]
        selector.unregister(number)
        with pytest.raises(KeyError):
            selector.get_key(number)


@needs_patience
def test_a_loop_serves_both_and_closes_like_any_other() -> None:
    loop = new_loop(0.02)
    assert isinstance(loop, PatientLoop)

    async def echo() -> list[bytes]:
        near, far = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=near)
        let_wait(near.fileno(), can_wait=True)
        found = []
        for number in range(5):
            far.send(b"%d" % number)
            found.append(await reader.read(100))
        far.close()
        found.append(await reader.read())
        let_wait(near.fileno(), can_wait=False)
        writer.close()
        return found

    try:

        async def both() -> tuple[list[bytes], None]:
            return await asyncio.gather(echo(), asyncio.sleep(0.001))

        found, _ = loop.run_until_complete(asyncio.wait_for(both(), 30))
    finally:
        loop.close()
    assert found == [b"0", b"1", b"2", b"3", b"4", b""]


def test_without_patience_the_loop_is_a_usual_one() -> None:
    loop = new_loop(0.0)
    loop.close()
    assert not isinstance(loop, PatientLoop)
