import pytest

from flows.operators.status.channels import (
    RANK,
    InstrumentState,
    Silence,
    Verdict,
    channel_of,
    of_silence,
    of_trades,
    worst_of,
)


@pytest.mark.parametrize(
    ("kind", "channel"),
    [
        ("aggTrade", "trades"),
        ("trade", "trades"),
        ("kline", "klines"),
        ("kline_1m", "klines"),
        ("ticker", "ticker"),
        ("miniTicker", "ticker"),
        ("depth", "book"),
        ("depth20", "book"),
        ("bookTicker", "best"),
        ("markPrice", "mark"),
        ("forceOrder", "liquidations"),
        ("contractInfo", None),
        ("", None),
    ],
)
def test_each_kind_of_stream_belongs_to_a_channel(kind: str, channel: str | None) -> None:
    assert channel_of(kind) == channel


def test_what_cannot_be_used_is_worse_than_what_can() -> None:
    ranked = sorted(RANK, key=RANK.__getitem__)
    assert ranked[0] == "gone"
    assert ranked[-2:] == ["quiet", "live"]
    assert worst_of(Verdict("live"), None, Verdict("cut", "why"), Verdict("behind")) == Verdict("cut", "why")
    assert worst_of(None) is None


def test_a_channel_speaks_as_long_as_one_of_its_streams_does() -> None:
    instrument = InstrumentState()
    silences = [Silence(5, whole_line=True), None]
    assert of_silence(silences, instrument) == of_trades(silences, instrument) == Verdict("live")
    assert of_silence([Silence(5, whole_line=False), Silence(9, whole_line=False)], instrument).began == 9
