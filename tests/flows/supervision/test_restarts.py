"""When a process is started again."""

import signal

import pytest

from flows.process.exit_codes import CANNOT_RUN, TRY_AGAIN, USAGE
from flows.supervision.restarts import FIRST_STARTS, LONGEST_S, STEADY_S, Restarts


def waits(codes: list[int], lives_s: list[float]) -> list[float | None]:
    """The waits after lives of these lengths that ended so."""
    restarts, now_s, found = Restarts(), 0.0, []
    for code, life_s in zip(codes, lives_s, strict=True):
        restarts.on_start(now_s)
        now_s += life_s
        wait_s = restarts.on_end(code, now_s)
        found.append(wait_s)
        now_s += wait_s or 0.0
    return found


def test_the_wait_doubles_up_to_the_longest() -> None:
    assert waits([-signal.SIGKILL] * 7, [1.0] * 7) == [0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_S, LONGEST_S]


def test_after_a_steady_life_it_is_the_first_again() -> None:
    assert waits([-signal.SIGKILL] * 4, [1.0, 1.0, STEADY_S, 1.0]) == [0.5, 1.0, 0.5, 1.0]


@pytest.mark.parametrize("code", [CANNOT_RUN, USAGE])
def test_one_that_refuses_at_its_first_start_is_given_up(code: int) -> None:
    assert waits([code], [20.0]) == [None]


@pytest.mark.parametrize("code", [CANNOT_RUN, USAGE])
def test_one_that_refuses_later_is_started_again(code: int) -> None:
    assert waits([-signal.SIGKILL, code], [1.0, 1.0]) == [0.5, 1.0]
    assert waits([1, code], [STEADY_S, 1.0]) == [0.5, 1.0]


def test_one_that_has_never_run_is_given_up() -> None:
    assert waits([1] * FIRST_STARTS, [1.0] * FIRST_STARTS) == [0.5, 1.0, 2.0, 4.0, None]


def test_one_that_cannot_run_for_now_is_started_again_until_it_can() -> None:
    assert waits([TRY_AGAIN] * 20, [1.0] * 20)[-1] == LONGEST_S


def test_one_that_has_run_is_started_again_for_ever() -> None:
    lives = [STEADY_S, *[1.0] * 20]
    assert waits([1] * 21, lives)[-1] == LONGEST_S


def test_kills_are_no_errors_of_its_own() -> None:
    assert waits([-signal.SIGKILL] * 20, [1.0] * 20)[-1] == LONGEST_S


def test_a_life_begins_behind_the_preparation() -> None:
    restarts = Restarts()
    restarts.on_start(0.0)
    restarts.on_prepared(STEADY_S)
    assert restarts.on_end(CANNOT_RUN, STEADY_S + 1) is None
