from hypothesis import given
from hypothesis import strategies as st

from sources.replay.exchange.backlog import Backlog


def test_a_client_and_all_together_have_a_bound() -> None:
    backlog = Backlog(most=10, most_in_all=15)
    assert backlog.admits(1, 0, 10)
    backlog.note(1, 10)
    assert not backlog.admits(1, 10, 1)
    assert backlog.admits(2, 0, 5)
    backlog.note(2, 5)
    assert not backlog.admits(3, 0, 1)
    assert backlog.refused == 2
    backlog.forget(1)
    assert backlog.admits(3, 0, 10)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12), st.booleans()), max_size=60))
def test_the_total_is_what_is_buffered(writes: list[tuple[int, int, bool]]) -> None:
    backlog, buffered = Backlog(most=20, most_in_all=40), dict[int, int]()
    for client, size, goes in writes:
        if goes:
            backlog.forget(client)
            buffered.pop(client, None)
        elif backlog.admits(client, buffered.get(client, 0), size):
            buffered[client] = buffered.get(client, 0) + size
            backlog.note(client, buffered[client])
        assert backlog.total == sum(buffered.values()) <= 40
        assert max(buffered.values(), default=0) <= 20
