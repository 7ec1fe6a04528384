"""The law: whatever one message says of the time, the others pass as if it had not come."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.bounds import VenueRules
from flows.clock import WINDOW_MS, FeedClock
from flows.model import DAY_MS, Flush, Incident, Rejected, Subscribed, Ticker, Trade
from flows.operators import time_gate
from flows.operators.parse import Batch
from flows.operators.time_gate import (
    AHEAD_MS,
    END_MS,
    HOLD_MS,
    JUMP_MESSAGES,
    JUMP_MS,
    KEPT_MS,
    PACED_MS,
    REST_EVERY_MS,
)
from flows.operators.validate import Validate
from tests.fakes.candles import ticker_of_ones
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, trade

BTC, ETH = "binance:BTCUSDT", "binance:ETHUSDT"


def of(key: str, number: int, time: int) -> Trade:
    return structs.replace(trade(number, time), symbol=key.partition(":")[2])


class Venue:
    """A step that validates, on a local clock of its own. `rest_skew`: how far the REST side's time is ahead of that
    from before; None: it does not answer; without it there is no REST side.
    """

    def __init__(self, *rest_skew: int | None, is_timely: bool = False) -> None:
        self.ms = 50_000
        self.asked = 0
        self.clock = FeedClock(lambda: self.ms)
        self.rest_skew = rest_skew[0] if rest_skew else None
        self.rest_takes = 0
        self.reads_late = False
        self.open: list[tuple[int, int, Callable[[int | None], None]]] = []
        self.step = Validate("binance", self.clock, query_time=self.ask if rest_skew else None, is_timely=is_timely)
        self.step([Subscribed("market", ("BTCUSDT", "ETHUSDT"), ())])
        self.passed: list[Trade] = []
        self.refused: list[Rejected] = []
        self.incidents: list[Incident] = []

    def ask(self, answer: Callable[[int | None], None]) -> None:
        self.asked += 1
        if self.rest_takes:
            self.open.append((self.ms, self.ms + self.rest_takes, answer))
        else:
            answer(None if self.rest_skew is None else self.true + self.rest_skew)

    def answer(self) -> None:
        """What REST was asked long enough ago; it has read its clock at once, or late."""
        for asked, due, answer in self.open.copy():
            if self.ms >= due and self.rest_skew is not None:
                self.open.remove((asked, due, answer))
                answer(BEGIN + (due if self.reads_late else asked) - 50_000 + self.rest_skew)

    def poll(self, *messages: tuple[str, Trade], final: bool = False) -> None:
        """One poll of the line `market`, grouped as a parser does it."""
        runs: dict[str, list[Any]] = {}
        for key, message in messages:
            runs.setdefault(key, []).append(message)
        items: list[Any] = [Batch(key, events, "market") for key, events in runs.items()]
        for item in self.step([*items, Flush(final=final)]):
            if isinstance(item, Batch):
                self.passed += item.events  # type: ignore[arg-type]
            elif isinstance(item, Rejected):
                self.refused.append(item)
            elif isinstance(item, Incident):
                self.incidents.append(item)

    def live(self, seconds: int, *, first: int = 1, skew: int = 0, per_s: int = 10) -> int:
        """So many seconds of two instruments at the pace of the local clock; gives the next id."""
        for number in range(first, first + seconds * per_s):
            self.ms += 1_000 // per_s
            self.answer()
            time = self.ms - 50_000
            self.poll(
                *((key, structs.replace(of(key, number, time), event_time=BEGIN + time + skew)) for key in (BTC, ETH))
            )
        return first + seconds * per_s

    @property
    def true(self) -> int:
        """The time as it is said without a skew."""
        return BEGIN + self.ms - 50_000

    @property
    def error(self) -> int:
        """How far the venue's time is ahead of it."""
        return self.clock.now().feed - self.true

    @property
    def ids(self) -> dict[str, list[int]]:
        return {s: [t.id for t in self.passed if t.symbol == s] for s in ("BTCUSDT", "ETHUSDT")}


def test_one_message_that_is_ahead_is_refused_and_the_time_stays() -> None:
    venue = Venue()
    following = venue.live(PACED_MS // 1_000 + 1)
    before = venue.clock.now().feed
    venue.poll((BTC, of(BTC, following, 86_400_000)))
    assert [("ahead of the venue's" in r.reason) for r in venue.refused] == [True]
    assert venue.clock.now().feed == before


def test_what_is_late_passes_and_moves_no_clock() -> None:
    venue = Venue()
    following = venue.live(PACED_MS // 1_000 + 1)
    before = venue.clock.now().feed
    venue.poll((BTC, of(BTC, following, -600_000)))
    assert venue.ids["BTCUSDT"][-1] == following
    assert venue.clock.now().feed == before


def test_a_venue_that_jumps_sets_the_clock_once_enough_messages_of_two_instruments_agree() -> None:
    venue = Venue()
    following = venue.live(5)
    venue.live(JUMP_MS // 1_000 + 1, first=following, skew=3_600_000)
    assert [i.kind for i in venue.incidents] == ["clock"]
    assert venue.clock.now().feed == BEGIN + venue.ms - 50_000 + 3_600_000
    assert len(venue.refused) >= JUMP_MESSAGES - 1


@pytest.mark.parametrize("rest_skew", [3_600_000, None])
def test_a_jump_that_the_rest_side_does_not_contradict_sets_the_clock(rest_skew: int | None) -> None:
    venue = Venue(rest_skew)
    following = venue.live(5)
    venue.live(JUMP_MS // 1_000 + 2, first=following, skew=3_600_000)
    assert ([i.kind for i in venue.incidents], venue.asked) == (["clock"], 1)


@pytest.mark.parametrize("skew", [3_600_000, 864_000_000])
def test_all_streams_together_do_not_outvote_the_rest_side(skew: int) -> None:
    venue = Venue(0)
    following = venue.live(5)
    following = venue.live(60, first=following, skew=skew)
    assert (venue.incidents, 1 < venue.asked < 10) == ([], True)
    assert venue.clock.now().feed == BEGIN + venue.ms - 50_000
    passed = len(venue.passed)
    venue.live(2, first=following)
    assert len(venue.passed) == passed + 40


def test_after_a_jump_back_to_where_it_was_nothing_is_lost() -> None:
    venue = Venue()
    following = venue.live(5)
    following = venue.live(JUMP_MS // 1_000 + 2, first=following, skew=86_400_000)
    venue.live(2, first=following)
    assert [i.kind for i in venue.incidents] == ["clock", "clock"]
    assert venue.clock.now().feed == BEGIN + venue.ms - 50_000
    assert venue.ids["BTCUSDT"][-20:] == list(range(following, following + 20))


def test_one_instrument_alone_sets_no_clock_where_two_are_followed() -> None:
    venue = Venue()
    following = venue.live(5)
    for number in range(following, following + 100):
        venue.ms += 100
        time = venue.ms - 50_000
        venue.poll(
            (BTC, structs.replace(of(BTC, number, time), event_time=BEGIN + time + 3_600_000)),
            (ETH, of(ETH, number, time)),
        )
    assert venue.incidents == []
    assert venue.ids["ETHUSDT"][-100:] == list(range(following, following + 100))
    assert abs(venue.clock.now().feed - (BEGIN + venue.ms - 50_000)) <= 1


def test_however_many_say_another_time_the_clock_stays_while_others_say_the_old_one() -> None:
    venue = Venue()
    following = venue.live(5)
    for number in range(following, following + 100):
        venue.ms += 100
        time = venue.ms - 50_000
        wrong = [
            structs.replace(of(key, 10_000 + number, time), event_time=BEGIN + time + 3_600_000) for key in (BTC, ETH)
        ]
        venue.poll((BTC, wrong[0]), (ETH, wrong[1]))
        venue.poll((BTC, of(BTC, number, time)), (ETH, of(ETH, number, time)))
    assert venue.incidents == []
    assert venue.ids["BTCUSDT"][-100:] == list(range(following, following + 100))


def test_a_recording_at_any_pace_passes_whole() -> None:
    venue = Venue()
    for number in range(1, 200):
        venue.ms += 1  # an hour in a fifth of a second
        venue.poll((BTC, of(BTC, number, number * 18_000)), (ETH, of(ETH, number, number * 18_000 + 700)))
    venue.poll(final=True)
    assert venue.refused == []
    assert venue.ids == {s: list(range(1, 200)) for s in ("BTCUSDT", "ETHUSDT")}


def test_a_fast_recording_passes_also_behind_a_silence() -> None:
    venue = Venue()
    number = 0
    for _ in range(3):
        for _ in range(50):  # five seconds at twenty times the pace
            number, venue.ms = number + 1, venue.ms + 100
            venue.poll(*((key, of(key, number, 20 * (venue.ms - 50_000))) for key in (BTC, ETH)))
        venue.ms += 9_000
    assert venue.refused == []
    assert venue.ids["BTCUSDT"] == list(range(1, number + 1))


def test_when_no_message_says_the_known_time_for_long_the_others_are_believed() -> None:
    venue = Venue()
    following = venue.live(5)
    begin = venue.ms
    for number in range(following, following + 150):  # an hour ahead, and at a pace of its own
        venue.ms += 100
        time = begin - 50_000 + 3_600_000 + 3 * (venue.ms - begin)
        venue.poll(*((key, of(key, number, time)) for key in (BTC, ETH)))
    assert venue.incidents[0].kind == "clock"
    assert venue.ids["ETHUSDT"][-1] == following + 149


def test_a_recording_of_one_stream_passes_whole() -> None:
    venue = Venue()
    venue.step([Subscribed("market", ("BTCUSDT",), ())])
    for number in range(1, 100):
        venue.poll((BTC, of(BTC, number, number * 30_000)))
    venue.poll(final=True)
    assert venue.refused == []
    assert venue.ids["BTCUSDT"] == list(range(1, 100))


def test_behind_a_leap_of_the_local_clock_the_messages_decide() -> None:
    venue = Venue()
    venue.live(5)
    for seconds in range(3_600, 3_605):  # the machine slept: its monotonic clock stood still, the venue's did not
        venue.ms += 20
        venue.poll(*((key, of(key, 1_000 + seconds, seconds * 1_000)) for key in (BTC, ETH)))
    venue.ms += 6_000
    for seconds in range(7_200, 7_205):
        venue.ms += 1_000
        venue.poll(*((key, of(key, 1_000 + seconds, seconds * 1_000)) for key in (BTC, ETH)))
    assert venue.ids["BTCUSDT"][-5:] == [1_000 + seconds for seconds in range(7_200, 7_205)]


def test_a_first_message_that_nobody_joins_is_believed_after_a_while() -> None:
    venue = Venue()
    venue.poll((BTC, of(BTC, 1, 0)))
    assert venue.passed == []
    venue.ms += HOLD_MS
    venue.poll()
    assert venue.ids["BTCUSDT"] == [1]


def test_a_first_message_that_is_wrong_does_not_set_the_clock() -> None:
    venue = Venue()
    venue.poll((BTC, of(BTC, 1, 86_400_000)))
    venue.live(2, first=2)
    assert [t.time for t in venue.passed if t.id == 1] == []
    assert abs(venue.clock.now().feed - (BEGIN + venue.ms - 50_000)) <= 1


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_gate, "MOST_HELD", 5)
    venue = Venue()
    venue.poll((BTC, of(BTC, 1, 0)), (ETH, of(ETH, 1, 0)))
    for number in range(2, 30):
        venue.poll((BTC, of(BTC, number, number * 86_400_000)))
    assert venue.step._gate.held <= 5


LATE = -8_000
WINDOW_S = WINDOW_MS // 1_000


@pytest.mark.parametrize("reads_late", [False, True])
@pytest.mark.parametrize("takes", [0, 500, 3_000])
def test_a_line_that_is_late_for_an_hour_does_not_move_the_clock_back(takes: int, reads_late: bool) -> None:
    venue = Venue(0)
    venue.rest_takes, venue.reads_late = takes, reads_late
    following = venue.live(5, per_s=2)
    for _ in range(60):
        following = venue.live(60, first=following, skew=LATE, per_s=2)
        assert venue.error == 0
    assert 1 < venue.asked <= 3_600_000 // REST_EVERY_MS
    venue.live(3, first=following)
    assert (venue.error, venue.clock.is_ahead) == (0, False)


@pytest.mark.parametrize("ppm", [-100, 100])
def test_while_a_line_is_late_the_clock_drifts_no_further_than_rest(ppm: int) -> None:
    venue = Venue(0)
    following = venue.live(5, per_s=2)
    for hour in range(1, 25):
        for _ in range(60):
            following = venue.live(60, first=following, skew=LATE + hour * 36 * ppm // 10, per_s=1)
        venue.rest_skew = hour * 36 * ppm // 10
        assert abs(venue.error - venue.rest_skew) <= 800, hour


def test_a_venue_that_goes_back_is_followed_when_rest_says_so() -> None:
    venue = Venue(LATE)
    following = venue.live(5)
    venue.live(WINDOW_S + 2, first=following, skew=LATE)
    assert (venue.error, venue.asked) == (LATE, 1)


@pytest.mark.parametrize("rest", [(), (None,)], ids=["no REST side", "no answer"])
def test_without_an_answer_of_rest_the_clock_stays_for_long_and_then_follows(rest: tuple[None, ...]) -> None:
    venue = Venue(*rest)
    following = venue.live(5, per_s=2)
    following = venue.live(KEPT_MS // 1_000 + WINDOW_S - 5, first=following, skew=LATE, per_s=2)
    assert venue.error == 0
    assert venue.asked <= KEPT_MS // REST_EVERY_MS + 1
    venue.live(10, first=following, skew=LATE, per_s=2)
    assert venue.error == LATE


def test_an_answer_that_is_as_late_as_the_line_confirms_nothing_and_a_later_one_is_compared() -> None:
    venue = Venue(0)
    venue.rest_takes = -LATE
    following = venue.live(5, per_s=2)
    following = venue.live(KEPT_MS // 1_000 + WINDOW_S - 5, first=following, skew=LATE, per_s=2)
    assert venue.error == 0
    following = venue.live(10, first=following, skew=LATE, per_s=2)
    assert venue.error == LATE
    venue.rest_takes = 0
    venue.live(2 * REST_EVERY_MS // 1_000, first=following, skew=LATE, per_s=2)
    assert venue.error == 0


def test_small_delays_are_followed_without_rest() -> None:
    venue = Venue(0)
    following = venue.live(5)
    venue.live(WINDOW_S + 2, first=following, skew=-400)
    assert (venue.error, venue.asked) == (-400, 0)


@pytest.mark.parametrize(("is_timely", "error"), [(True, 0), (False, LATE)])
def test_a_line_that_is_late_from_the_begin_is_so_where_the_venues_time_is_ours(is_timely: bool, error: int) -> None:
    venue = Venue(0, is_timely=is_timely)
    following = venue.live(5, skew=LATE)
    assert (venue.error, venue.asked) == (error, int(is_timely))
    following = venue.live(120, first=following, skew=LATE, per_s=2)
    assert venue.error == error
    venue.live(6, first=following)
    assert abs(venue.error) <= 1


def test_behind_a_leap_of_the_local_clock_a_late_line_is_compared_anew() -> None:
    venue = Venue(0, is_timely=True)
    following = venue.live(5)
    venue.ms += 10_000
    following = venue.live(2, first=following, skew=LATE)
    assert (venue.error, venue.asked) == (0, 2)


@settings(max_examples=examples(20), deadline=None)
@given(
    position=st.integers(0, 119),
    ahead=st.integers(AHEAD_MS + 1_500, 10**12),
    pace=st.sampled_from([1, 10, 1_000]),
    replaces=st.booleans(),
)
def test_the_law_of_isolation(position: int, ahead: int, pace: int, replaces: bool) -> None:
    """A message whose event time is wrong, anywhere, at any pace: the others pass, the clock ends where it would."""
    assume(position < 110 or ahead > 2 * END_MS)  # at the end of the input nothing can contradict what is little ahead

    def run(*, wrong: bool) -> tuple[list[tuple[str, int]], int]:
        venue = Venue()
        for number in range(120):
            venue.ms += 100 // min(pace, 100)
            time = number * 100 * pace // min(pace, 100) if pace > 100 else number * 100
            messages = [(key, of(key, number, time)) for key in (BTC, ETH)]
            if wrong and number == position:
                odd = structs.replace(of(BTC, 10_000, time), event_time=BEGIN + time + ahead)
                messages = [*messages[replaces:], (BTC, odd)]  # the newest of its stream; others are for the sequencer
            venue.poll(*messages)
        venue.poll(final=True)
        return [(t.symbol, t.id) for t in venue.passed], venue.clock.now().feed

    passed, time = run(wrong=True)
    expected, right_time = run(wrong=False)
    missing = [("BTCUSDT", position)] if replaces else []
    assert sorted(passed) == sorted(item for item in expected if item not in missing)
    assert abs(time - right_time) <= 1_000


@pytest.mark.parametrize("pause_ms", [0, 1_000, PACED_MS + 500, 4_500, 6_000, 20_000])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_pause_at_the_begin_of_a_fast_replay_makes_no_witness_of_the_local_clock(pause_ms: int, number: int) -> None:
    venue, market = Venue(), 0
    for place in range(300):
        venue.ms += 80
        if pause_ms and place < number:
            venue.ms += pause_ms
            market += 100  # what was sent before the pause
        else:
            market += 6_000
        venue.poll(*((key, structs.replace(of(key, place, market), event_time=BEGIN + market)) for key in (BTC, ETH)))
    venue.poll(final=True)
    assert (venue.refused, venue.incidents) == ([], [])
    assert venue.ids == {symbol: list(range(300)) for symbol in ("BTCUSDT", "ETHUSDT")}


def test_a_pause_in_a_live_market_costs_no_message_and_the_clock_stays_a_witness() -> None:
    venue = Venue()
    following = venue.live(PACED_MS // 1_000 + 1)
    venue.ms += PACED_MS + 500
    late = [(key, of(key, following, venue.ms - 50_000 - 3_000)) for key in (BTC, ETH)]
    venue.poll(*late)
    following = venue.live(1, first=following + 1)
    venue.poll((BTC, of(BTC, following, 86_400_000)))
    assert [("ahead of the venue's" in one.reason) for one in venue.refused] == [True]


def borrowed(key: str, time: int) -> Ticker:
    """A ticker with the time of another message."""
    symbol, at = key.partition(":")[2], BEGIN + time
    return ticker_of_ones(symbol=symbol, event_time=at, open_time=at - DAY_MS, close_time=at, price_change=0.0)


@pytest.mark.parametrize("has_others", [False, True])
def test_what_has_the_time_of_another_message_does_not_vouch_for_it(has_others: bool) -> None:
    venue = Venue()
    venue.step = Validate("binance", venue.clock, VenueRules(borrowed_times=frozenset((Ticker,))))
    following = venue.live(1)
    for number in range(following, following + JUMP_MESSAGES):
        venue.ms += 200
        wrong: list[Any] = [Batch(BTC, [of(BTC, number, DAY_MS)], "market")]
        wrong += [Batch(key, [borrowed(key, DAY_MS)], "market") for key in (BTC, ETH)]
        venue.step(wrong)
        if has_others:
            venue.poll((ETH, of(ETH, number, venue.ms - 50_000)))
    assert abs(venue.error) <= 1_000


def test_tickers_of_a_borrowed_time_set_no_clock() -> None:
    venue = Venue()
    venue.step = Validate("binance", venue.clock, VenueRules(borrowed_times=frozenset((Ticker,))))
    venue.live(PACED_MS // 1_000 + 1)
    for _ in range(2 * JUMP_MESSAGES):
        venue.ms += JUMP_MS // JUMP_MESSAGES
        venue.step([Batch(key, [borrowed(key, DAY_MS)], "market") for key in (BTC, ETH)])
    assert abs(venue.error) <= 1_000
