from hypothesis import given
from hypothesis import strategies as st

from api.deadman.state import DeadMan


def test_silence_is_an_alarm_that_repeats_until_a_sign_comes() -> None:
    it = DeadMan(after_s=90, repeat_s=600, now_s=0)
    assert (it.on_time(89.9), it.due_s(), it.is_alarmed) == (None, 90, False)
    assert (it.on_time(90), it.due_s(), it.is_alarmed) == ("alarm", 690, True)
    assert (it.on_time(689), it.on_time(690), it.on_time(691)) == (None, "repeat", None)
    assert (it.silent_s(700), it.on_sign(700), it.is_alarmed) == (700, "clear", False)
    assert (it.due_s(), it.on_time(789), it.on_time(790)) == (790, None, "alarm")


def test_signs_in_time_say_nothing() -> None:
    it = DeadMan(after_s=90, repeat_s=600, now_s=0)
    for now in range(60, 6_000, 60):
        assert it.on_sign(now) is None
        assert it.on_time(now + 59) is None
    assert it.silent_s(5_950) == 10


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 500)), max_size=50))
def test_alarm_and_clear_alternate(steps: list[tuple[bool, float]]) -> None:
    it, now, said = DeadMan(after_s=90, repeat_s=300, now_s=0), 0.0, []
    for is_sign, pause in steps:
        now += pause
        said.append(it.on_sign(now) if is_sign else it.on_time(now))
        assert it.is_alarmed == (said[-1] in ("alarm", "repeat") or (said[-1] is None and it.is_alarmed))
    changes = [change for change in said if change in ("alarm", "clear")]
    assert changes == ["alarm", "clear"] * (len(changes) // 2) + ["alarm"] * (len(changes) % 2)
