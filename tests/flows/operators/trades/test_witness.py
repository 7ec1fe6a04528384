from flows.clock import Now
from flows.operators.trades.witness import (
    CALM_MS,
    ENOUGH_ANSWERS,
    LONGEST_MS,
    MOST_AHEAD,
    PROBE_MS,
    REFUSED_LEAST,
    REFUSED_MS,
    STRAGGLER_MS,
    Witness,
)


def at(local: int) -> Now:
    return Now(0, local)


def ahead(*, messages: int = 2) -> Witness:
    """One that has named trades up to 9, where 5 is the newest, from 1,000 ms on."""
    witness = Witness()
    for number in range(messages):
        witness.on_message(9, 5, 0, at(1_000 + number))
    return witness


def test_who_names_no_later_trade_is_no_reason_to_ask() -> None:
    witness = Witness()
    witness.on_message(5, 5, 0, at(0))
    witness.on_message(-1, 5, 0, at(0))
    assert (witness.is_ahead, witness.due, witness.is_settled) == (False, None, True)


def test_later_trades_are_asked_for_when_a_straggler_would_have_come() -> None:
    assert ahead().due == 1_000 + STRAGGLER_MS
    assert ahead().is_ahead


def test_one_message_alone_names_no_hole_but_proves_that_nothing_is_over() -> None:
    assert ahead(messages=1).due is None
    assert ahead(messages=1).is_ahead


def test_the_next_message_takes_back_what_one_has_named() -> None:
    witness = ahead()
    witness.on_message(5, 5, 0, at(2_000))
    assert (witness.is_ahead, witness.due) == (False, None)


def test_the_trades_that_come_end_it() -> None:
    witness = ahead()
    witness.on_trades(8)
    assert witness.is_ahead
    witness.on_trades(9)
    assert (witness.is_ahead, witness.due) == (False, None)


def test_what_cannot_be_is_no_witness() -> None:
    witness = Witness()
    for _ in range(5):
        witness.on_message(2**53, 5, 1_000, at(0))
    assert not witness.is_ahead
    witness.on_message(MOST_AHEAD + 500_000, 0, 60_000, at(0))  # a minute explains more
    assert witness.is_ahead


def test_a_venue_that_knows_no_such_trades_is_believed_after_some_answers() -> None:
    witness = ahead()
    for number in range(ENOUGH_ANSWERS):
        assert witness.is_ahead
        witness.on_answer(has_trades=False, now=at(10_000 * number))
    assert not witness.is_ahead
    witness.on_message(9, 5, 0, at(50_000))
    assert not witness.is_ahead  # the same again says nothing new
    witness.on_message(10, 5, 0, at(50_000))
    assert witness.is_ahead


def test_a_silent_stream_is_asked_about_at_once_and_then_more_and_more_seldom() -> None:
    witness, now = Witness(), 5_000
    witness.on_silent(at(now))
    waits = []
    for _ in range(8):
        assert witness.due is not None
        waits.append(witness.due - now)
        now = witness.due
        witness.on_answer(has_trades=False, now=at(now))
    assert waits[:4] == [0, PROBE_MS, 2 * PROBE_MS, 4 * PROBE_MS]
    assert max(waits) == LONGEST_MS
    witness.on_speaking()
    assert witness.due is None


def test_a_trade_that_was_refused_leaves_a_place_that_is_asked_for() -> None:
    witness = Witness()
    witness.on_refused("odd", at(100))
    assert (witness.due, witness.is_ahead, witness.has_refused) == (100 + STRAGGLER_MS, True, True)
    witness.on_answer(has_trades=False, now=at(3_000))
    assert (witness.due, witness.is_ahead) == (None, False)


def test_trades_that_go_on_show_what_was_refused() -> None:
    witness = Witness()
    witness.on_refused("odd", at(100))
    witness.on_stream()
    witness.on_trades(6)
    assert (witness.due, witness.is_settled) == (None, True)


def test_a_hole_that_was_named_is_open_until_the_stream_itself_goes_on() -> None:
    witness = ahead()
    witness.open_gap(at(4_000))
    witness.on_fetched(3_001, at(4_000))
    witness.on_trades(9)
    assert not witness.is_over(at(4_000))
    assert witness.reason("trade").endswith("none comes by trade; they are fetched over REST, up to 4 s late")
    witness.on_stream()
    assert witness.is_over(at(5_000))
    assert witness.has_spoken
    witness.close_gap()
    assert witness.is_settled


def test_a_stream_that_has_missed_trades_and_says_nothing_is_believed_when_no_more_are_made() -> None:
    witness = ahead()
    witness.open_gap(at(4_000))
    witness.on_fetched(3_000, at(4_000))
    witness.on_trades(9)
    assert witness.due == 4_000 + PROBE_MS  # then the venue is asked whether more were made
    assert not witness.is_over(at(3_999 + CALM_MS))
    assert witness.is_over(at(4_000 + CALM_MS))
    assert not witness.has_spoken


def test_a_stream_that_has_missed_trades_is_renewed_at_once_and_then_more_and_more_seldom() -> None:
    witness = ahead()
    witness.open_gap(at(4_000))
    renewed = [local for local in range(4_000, 200_000, 1_000) if witness.claim_renewal(at(local))]
    assert renewed == [4_000, 9_000, 29_000, 109_000]


def test_a_stream_is_refused_when_nothing_else_came_of_it_for_a_while() -> None:
    witness = Witness()
    for local in (0, 1_000, REFUSED_MS - 1):
        witness.on_refused(f"odd at {local}", at(local))
    assert not witness.is_refused
    witness.on_refused("odd", at(REFUSED_MS))
    assert witness.is_refused
    assert witness.reason("aggTrade") == "everything that aggTrade brings is refused: odd at 0"
    assert not witness.claim_renewal(at(REFUSED_MS))
    witness.on_stream()
    assert not witness.is_refused


def test_few_refusals_refuse_no_stream_however_long_they_lie_apart() -> None:
    witness = Witness()
    for local in range(REFUSED_LEAST - 1):
        witness.on_refused("odd", at(60_000 * local))
    assert not witness.is_refused


def test_a_silent_stream_is_not_asked_about_while_the_newest_trade_is_named() -> None:
    witness = Witness()
    assert not witness.confirm(at(1_000)), "it is not silent"
    witness.on_silent(at(1_500))
    assert witness.due == 1_500 + STRAGGLER_MS
    assert witness.confirm(at(2_000))
    assert not witness.confirm(at(3_000)), "it is no news any more"
    assert witness.due == 3_000 + PROBE_MS
    witness.on_silent(at(3_000 + STRAGGLER_MS + 1))
    assert witness.due == 3_000 + STRAGGLER_MS + 1, "nothing was named for too long"


def test_a_name_is_no_confirmation_while_trades_are_missing() -> None:
    witness = ahead()
    witness.on_silent(at(1_100))
    assert not witness.confirm(at(1_200))
    assert witness.due == 1_100
