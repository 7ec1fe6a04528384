import os
import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from flows.process.descriptor_room import RESERVE, DescriptorRoom, descriptor_room, lowest_free


def test_clients_leave_what_lines_and_stores_need() -> None:
    room = DescriptorRoom(1_024)
    assert room.clients_end == 1_024 - RESERVE - 32
    assert [room.is_short(number) for number in (799, 800)] == [False, True]
    assert [room.is_out(number) for number in (831, 832)] == [False, True]


@given(st.integers(1, 1 << 20))
def test_of_any_limit_something_is_kept_and_something_given(limit: int) -> None:
    room = DescriptorRoom(limit)
    end = room.clients_end
    assert end is not None
    assert limit // 2 <= end <= limit
    if limit >= 4 * RESERVE:
        assert limit - end >= RESERVE
    assert not room.is_short(end - 1)
    assert room.is_short(end)
    assert all(room.is_short(number) for number in range(end, end + 99) if room.is_out(number))


def test_without_a_limit_there_is_always_room() -> None:
    room = DescriptorRoom(None)
    assert not room.is_short(1 << 30)
    assert not room.is_out(1 << 30)
    assert room.clients(1_000) == 1_000


def test_a_sockets_number_says_how_many_are_in_use() -> None:
    with socket.socket() as taken:
        assert taken.fileno() < lowest_free()
    assert lowest_free() <= taken.fileno() if taken.fileno() >= 0 else lowest_free() > 2


def test_what_is_open_is_no_room_for_clients() -> None:
    limit = descriptor_room().limit
    assert limit is None or limit > 64
    room = DescriptorRoom(lowest_free() + RESERVE + 32 + 10)
    assert room.clients(1_000) <= room.limit - lowest_free()  # type: ignore[operator]
    assert room.clients(3) == 3
    assert DescriptorRoom(4).clients(1_000) == 0
    with Path(os.devnull).open():
        assert DescriptorRoom(4 * RESERVE).clients(10_000) < DescriptorRoom(4 * RESERVE).clients_end  # type: ignore[operator]
