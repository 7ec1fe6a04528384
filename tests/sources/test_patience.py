from sources.patience import Patience

AGG = frozenset((b"aggT",))


def test_patience_counts_each_channel_for_itself() -> None:
    patience = Patience(frozenset((b"aggT", b"tick")), stale_after_s=60, now_s=0)
    patience.heard.add(b"tick")
    assert patience.silent(60) == []
    assert patience.silent(61) == [b"aggT"]  # the ticker spoke at the last look


def test_patience_with_a_quiet_channel_doubles_until_it_speaks() -> None:
    patience = Patience(AGG, stale_after_s=60, now_s=0)
    assert patience.silent(61) == [b"aggT"]
    patience.begin(61)
    assert patience.silent(61 + 119) == []
    assert patience.silent(61 + 121) == [b"aggT"]
    patience.begin(182)
    patience.heard.add(b"aggT")
    assert patience.silent(183) == []
    assert patience.silent(183 + 61) == [b"aggT"]


def test_patience_follows_other_channels_from_when_they_are_wanted() -> None:
    patience = Patience(AGG, stale_after_s=60, now_s=0)
    patience.follow(frozenset((b"tick",)), now_s=50)
    assert patience.silent(61) == []
    assert patience.silent(111) == [b"tick"]
    patience.follow(frozenset(), now_s=112)
    assert patience.silent(1_000) == []
