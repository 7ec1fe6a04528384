import pytest

from sources.replay.market.lives import Change, Life
from sources.replay.synthetic.planned import Planned, all_planned, lives_of, parse_planned


def test_changes_are_read_from_their_texts() -> None:
    assert parse_planned("halt", "ethusdt@60+120.5") == Planned("ETHUSDT", "halt", 60.0, 120.5)
    assert parse_planned("list", "BTC/USD") == Planned("BTC-USD", "list", None)
    assert parse_planned("delist", "BTCUSDT@1767225600000") == Planned("BTCUSDT", "delist", 1_767_225_600_000.0)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("halt", "ETHUSDT@60"),
        ("halt", "ETHUSDT"),
        ("list", "ETHUSDT@60+5"),
        ("delist", "ETHUSDT"),
        ("delist", "ETHUSDT@soon"),
        ("delist", "@5"),
        ("list", "ETH USDT@5"),
    ],
)
def test_texts_that_are_none(word: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"write"):
        parse_planned(word, text)  # type: ignore[arg-type]


def test_the_lives_of_a_market_follow() -> None:
    planned = all_planned(["NEWUSDT@5", "LATEUSDT"], ["NEWUSDT@10+2", "ETHUSDT@1767225700000+1"], ["ETHUSDT@300"])
    begin_ms = 1_767_225_600_000
    lives = lives_of(planned, begin_ms)
    expected = {
        "NEWUSDT": Life(
            [Change(begin_ms + 5_000, "list"), Change(begin_ms + 10_000, "halt"), Change(begin_ms + 12_000, "resume")],
            is_listed=False,
        ),
        "LATEUSDT": Life(is_listed=False),
        "ETHUSDT": Life(
            [
                Change(begin_ms + 100_000, "halt"),
                Change(begin_ms + 101_000, "resume"),
                Change(begin_ms + 300_000, "delist"),
            ]
        ),
    }
    assert {symbol: life.turns for symbol, life in lives.items()} == {
        symbol: life.turns for symbol, life in expected.items()
    }
