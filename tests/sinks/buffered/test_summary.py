from collections import Counter

from sinks.buffered.summary import Summary


def test_what_was_stored_is_said_once() -> None:
    said: list[Counter[str]] = []
    summary = Summary(Counter[str], said.append, interval_s=60)
    summary.count(Counter(a=1))
    summary.count(Counter(a=2, b=3))
    assert not summary.is_due()
    summary.log()
    summary.log()
    assert said == [Counter(a=3, b=3)]
    assert summary.total == Counter(a=3, b=3)


def test_it_is_due_after_its_interval() -> None:
    summary = Summary(Counter[str], print, interval_s=0)
    assert summary.is_due()
