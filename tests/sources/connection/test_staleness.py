"""A stream at its usual pace is never silent, one that stops is always found, slow ones are left alone."""

import random
from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.connection.staleness import (
    BLOCK,
    ENOUGH,
    LEAST_S,
    MOST_S,
    REPEATS,
    STEADY_S,
    STEP_S,
    Findings,
    Pace,
    StalenessMonitor,
)
from tests.fakes.examples import examples

STALE_S = 60.0
LOOK_S = 0.5
DAY_S = 86_400


class Line:
    """A monitor, looked at twice a second of a clock that is turned by hand."""

    def __init__(self, *streams: str, not_trading: tuple[str, ...] = (), witnessed: tuple[str, ...] = ()) -> None:
        self.monitor = StalenessMonitor(stale_after_s=STALE_S, now_s=0.0)
        self.monitor.follow(streams, not_trading=not_trading, witnessed=frozenset(witnessed))
        self.now_s = 0.0
        self.found: list[tuple[float, Findings]] = []

    def look(self, *active: str, is_alive: bool = False) -> Findings:
        self.now_s += LOOK_S
        found = self.monitor.look(active, self.now_s, is_alive=is_alive)
        if found.silent or found.resumed or found.to_renew or found.to_reconnect:
            self.found.append((self.now_s, found))
        if found.to_reconnect:
            self.monitor.begin()
        return found

    def play(self, until_s: float, **times: Iterable[float]) -> None:
        """Until then, each stream has messages at these times."""
        waiting: dict[str, Iterator[float]] = {name: iter(of) for name, of in times.items()}
        due = {name: next(of, float("inf")) for name, of in waiting.items()}
        soonest_s = min(due.values(), default=float("inf"))
        while self.now_s < until_s:
            if soonest_s > self.now_s + LOOK_S:
                self.look()
                continue
            active = [name for name, at_s in due.items() if at_s <= self.now_s + LOOK_S]
            for name in active:
                while due[name] <= self.now_s + LOOK_S:
                    due[name] = next(waiting[name], float("inf"))
            soonest_s = min(due.values())
            self.look(*active)

    @property
    def renewals(self) -> int:
        """Requests for a renewal of anything."""
        return sum(bool(found.to_renew) + found.to_reconnect for _, found in self.found)

    @property
    def silences(self) -> list[tuple[float, tuple[str, ...], bool]]:
        return [(at_s, tuple(found.silent), found.is_all_silent) for at_s, found in self.found if found.silent]


def every(gap_s: float, begin_s: float = 0.0) -> Iterator[float]:
    at_s = begin_s
    while True:
        at_s += gap_s
        yield at_s


def poisson(mean_s: float, seed: int) -> Iterator[float]:
    chance, at_s = random.Random(seed), 0.0
    while True:
        at_s += chance.expovariate(1 / mean_s)
        yield at_s


@given(
    gaps_s=st.lists(st.floats(0.1, 40.0), min_size=1, max_size=20),
    cycles=st.integers(1, 10),
)
@settings(max_examples=examples(30), deadline=None)
def test_a_stream_is_never_silent_at_its_usual_pace(gaps_s: list[float], cycles: int) -> None:
    """Whatever the rhythm: pauses that were seen before, or are shorter than the first patience."""
    line = Line("a")

    def rhythm() -> Iterator[float]:
        at_s = 0.0
        for gap_s in [max(gaps_s)] * ENOUGH + gaps_s * cycles:
            at_s += gap_s
            yield at_s

    times = list(rhythm())
    line.play(times[-1], a=times)
    assert line.silences == []


@pytest.mark.slow
@given(gap_s=st.floats(0.1, 1_000.0), spoken=st.integers(0, 2 * BLOCK), seed=st.integers(0, 100))
@settings(max_examples=examples(10), deadline=None)
def test_a_stream_that_stops_is_found_within_its_patience_and_a_second(gap_s: float, spoken: int, seed: int) -> None:
    chance, now_s = random.Random(seed), 0.0
    monitor = StalenessMonitor(stale_after_s=STALE_S, now_s=0.0)
    monitor.follow(["a", "b"], not_trading=["b"])

    def look(*active: str) -> list[str]:
        nonlocal now_s
        now_s += LOOK_S
        return monitor.look(active, now_s).silent

    for _ in range(min(spoken, int(20_000 / gap_s))):
        for _ in range(max(1, int(chance.uniform(0.5, 1.0) * gap_s / LOOK_S)) - 1):
            look()
        look("a")
    limit_s = monitor._paces["a"].limit_s
    looks = next(count for count in range(1, 1_000_000) if look("b"))
    assert limit_s <= looks * LOOK_S <= limit_s + 1
    assert LEAST_S <= limit_s <= MOST_S


@given(gap_s=st.floats(61, 5_000), seed=st.integers(0, 1_000))
@settings(max_examples=examples(15), deadline=None)
def test_slow_streams_are_learned_and_hardly_ever_silent(gap_s: float, seed: int) -> None:
    chance, pace, silences, at_s = random.Random(seed), Pace(STALE_S, 0.0), 0, 0.0
    for pause_s in (chance.expovariate(1 / gap_s) for _ in range(200)):
        silences += pause_s >= pace.limit_s
        at_s += pause_s
        pace.on_message(at_s)
    assert silences <= 4


@pytest.mark.slow
@pytest.mark.parametrize("gap_s", [90.0, 180.0, 1_200.0])
def test_a_slow_symbol_alone_on_its_line_is_not_renewed_in_a_day(gap_s: float) -> None:
    line = Line("a", witnessed=("a",))
    line.play(DAY_S, a=every(gap_s))
    assert line.renewals == 0
    assert line.silences == [(60.0, ("a",), True)]  # before its first message


@pytest.mark.slow
@pytest.mark.parametrize("mean_s", [30.0, 90.0, 180.0, 1_200.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_slow_symbol_with_messages_at_random_times_is_not_renewed_in_a_day(mean_s: float, seed: int) -> None:
    line = Line("a", witnessed=("a",))
    line.play(DAY_S, a=poisson(mean_s, seed))
    assert line.renewals == 0
    assert len(line.silences) <= 3


def test_slow_streams_of_several_kinds_on_one_line_are_renewed_once_at_most() -> None:
    line = Line("trades", "kline", "ticker", "fast", witnessed=("trades",))
    slow = {name: every(1_200.0) for name in ("trades", "kline", "ticker")}
    line.play(DAY_S, fast=every(2.0), **slow)
    assert line.renewals <= 3  # kline and ticker together, before their first messages


def test_a_stream_that_comes_in_bursts_is_learned() -> None:
    def bursts() -> Iterator[float]:
        for begin_s in range(0, DAY_S, 300):
            yield from (begin_s + 0.4 * number for number in range(30))

    line = Line("a", witnessed=("a",))
    line.play(DAY_S, a=bursts())
    assert line.renewals <= 2 * REPEATS
    assert line.found[-1][0] < 2 * 3_600  # and never again


def test_a_paused_exchange_is_said_within_four_seconds_and_again_the_next_time() -> None:
    line = Line("a", "b")
    line.play(5, a=every(0.1), b=every(1.0))
    for _ in range(3):
        paused_s = line.now_s
        line.play(paused_s + 20)
        at_s, streams, is_whole = line.silences[-1]
        assert at_s - paused_s <= 4
        assert (streams, is_whole) == (("a", "b"), True)
        line.play(line.now_s + 10, a=every(0.1, line.now_s), b=every(1.0, line.now_s))
        assert line.found[-1][1].resumed == ["a", "b"] or line.found[-1][1].resumed == ["b"]
    assert line.renewals == 0


def test_a_line_that_is_known_to_be_fast_is_reconnected_less_and_less_often() -> None:
    line = Line("a", witnessed=("a",))
    line.play(60, a=every(0.2))
    line.play(60 + 4 * 3_600)
    at_s = [at_s for at_s, found in line.found if found.to_reconnect]
    assert at_s[0] - 60 <= LEAST_S + STALE_S + 1
    gaps = [later - earlier for earlier, later in pairwise(at_s)]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 15 * STALE_S


def test_a_line_without_a_witness_without_messages_is_reconnected_now_and_then() -> None:
    line = Line("book")
    line.play(DAY_S)
    assert 1 <= line.renewals <= 8
    line = Line("trades", witnessed=("trades",))
    line.play(DAY_S)
    assert line.renewals == 0


@pytest.mark.slow
def test_a_silent_stream_among_others_is_renewed_at_once_and_then_less_and_less_often() -> None:
    line = Line("a", "b")
    line.play(60, a=every(0.5), b=every(0.5))
    line.play(60 + DAY_S, a=every(0.5, 60))
    [(at_s, streams, is_whole)] = line.silences  # once
    assert (streams, is_whole) == (("b",), False)
    assert 62 <= at_s <= 64
    renewed_s = [at_s for at_s, found in line.found if found.to_renew]
    assert renewed_s[0] - 60 <= LEAST_S + 1
    assert len(renewed_s) <= 8
    line.look("a", "b")
    assert line.found[-1][1].resumed == ["b"]


def test_a_stream_with_a_witness_is_left_to_it() -> None:
    line = Line("a", "b", witnessed=("b",))
    line.play(60, a=every(0.5), b=every(0.5))
    line.play(3_600, a=every(0.5, 60))
    assert [streams for _, streams, _ in line.silences] == [("b",)]
    assert line.renewals == 0


def test_quiet_streams_are_never_silent_and_resume_if_they_were() -> None:
    line = Line("a", "b", not_trading=("b",))
    line.play(600, a=every(0.5))
    assert line.silences == []
    only_quiet = Line("a", not_trading=("a",))
    only_quiet.play(DAY_S)
    assert only_quiet.found == []
    line.monitor.follow(["a", "b"])
    line.play(700, a=every(0.5, 600))
    line.monitor.follow(["a", "b"], not_trading=["b"])
    line.look("a", "b")
    assert line.found[-1][1].resumed == ["b"]


def test_a_fast_stream_is_never_given_more_than_the_first_patience() -> None:
    pace, now_s = Pace(STALE_S, 0.0), 0.0
    for gap_s in [14.0] * 3 + [1.0] * 50:
        now_s += gap_s
        pace.on_message(now_s)
    assert pace.limit_s <= STALE_S


def test_one_outage_teaches_nothing() -> None:
    pace, now_s = Pace(STALE_S, 0.0), 0.0
    for gap_s in [0.5] * 100 + [36_000.0] + [0.5] * 3:
        now_s += gap_s
        pace.on_message(now_s)
    assert pace.limit_s == LEAST_S


def test_time_without_a_look_does_not_count() -> None:
    line = Line("a")
    line.play(60, a=every(0.5))
    line.now_s += 3_600  # the process was stopped
    assert line.look().silent == []
    line.monitor.skip(line.now_s + 7_200)  # the line was down
    line.now_s += 7_200
    assert line.look().silent == []
    assert line.monitor.silence_s("a") == pytest.approx(STEP_S + LOOK_S)


def test_what_is_silent_stays_so_on_a_new_connection_until_it_has_a_message() -> None:
    line = Line("a", "b")
    line.play(60, a=every(0.5), b=every(0.5))
    line.play(70)
    silence_s = line.monitor.silence_s("a")
    assert line.monitor.is_all_silent
    line.monitor.begin()
    assert line.monitor.is_all_silent
    assert line.look().silent == ["a", "b"]
    assert line.look().silent == []
    assert line.monitor.silence_s("a") == pytest.approx(silence_s + 2 * LOOK_S)
    found = line.look("a", "b")
    assert (found.resumed, found.is_all_silent) == (["a", "b"], False)


def test_on_a_new_connection_a_stream_that_spoke_before_gets_its_time() -> None:
    line = Line("a", "b")
    line.play(60, a=every(0.5), b=every(0.5))
    line.play(66, a=every(0.5, 60))
    line.monitor.begin()
    found = line.look()
    assert (found.silent, found.is_all_silent, found.to_renew) == (["b"], False, [])
    assert line.monitor.silence_s("a") == pytest.approx(LOOK_S)


def test_foreign_streams_do_not_count() -> None:
    line = Line("a")
    line.play(60, a=every(0.5))
    line.play(64, foreign=every(0.1, 60))
    assert [is_whole for _, _, is_whole in line.silences] == [True]


def test_streams_that_go_and_come_are_forgotten_and_get_time() -> None:
    line = Line("a", "b")
    line.play(50, a=every(0.5))
    line.monitor.follow(["a", "c"])
    line.play(100, a=every(0.5, 50))
    assert line.silences == []
    line.play(120, a=every(0.5, 100))
    assert [streams for _, streams, _ in line.silences] == [("c",)]
    line.monitor.follow([])
    assert line.look("a", "c") == Findings([], [], is_all_silent=False, to_renew=[], to_reconnect=False)


def test_a_witness_may_reconnect_a_silent_line_but_not_again_and_again() -> None:
    line = Line("a", witnessed=("a",))
    assert not line.monitor.claim_reconnect()  # it is not silent
    line.play(60, a=every(0.5))
    claims = []
    for _ in range(600):
        line.look()
        if line.monitor.claim_reconnect():
            claims.append(line.now_s)
            line.monitor.begin()
    assert claims[0] - 60 <= LEAST_S + 1
    gaps = [later - earlier for earlier, later in pairwise(claims)]
    assert gaps == sorted(gaps)
    assert gaps[0] >= 30


def test_while_signs_of_life_come_a_quiet_market_is_no_dead_line_and_without_them_it_is() -> None:
    line = Line("a", "b", witnessed=("a", "b"))
    for _ in range(200):
        line.look("a", "b", is_alive=True)
    for _ in range(1_200):  # ten minutes
        line.look(is_alive=True)
    assert not line.monitor.is_all_silent
    assert sorted(name for _, found in line.found for name in found.silent) == ["a", "b"]
    assert not any(found.is_all_silent or found.to_reconnect for _, found in line.found)
    line.found.clear()
    begin_s = line.now_s
    while not line.found:
        line.look()
    assert line.monitor.is_all_silent
    assert line.now_s - begin_s <= 2 * LEAST_S
    while not line.found[-1][1].to_reconnect:
        line.look()
    assert line.now_s - begin_s <= 2 * LEAST_S + STALE_S


def test_a_steady_stream_that_stops_in_its_first_seconds_is_silent_soon() -> None:
    monitor = StalenessMonitor(stale_after_s=STALE_S, now_s=0.0)
    monitor.follow(["mark", "other", "busy"], steady=frozenset(["mark"]))
    silent: dict[str, float] = {}
    for look in range(1, int(STALE_S / LOOK_S) + 20):
        now_s = look * LOOK_S
        first = ["mark", "other"] if now_s in (1.0, 2.0) else []
        found = monitor.look([*first, "busy"], now_s)
        silent |= {name: now_s for name in found.silent if name not in silent}
    assert silent == {"mark": 2.0 + STEADY_S, "other": 2.0 + STALE_S}
