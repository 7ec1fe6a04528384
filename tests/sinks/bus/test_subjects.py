import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.bus.subjects import NONE, channel_of, filters, subject_of, text_of, token, venue_of
from sinks.hub.messages import Topic

texts = st.text(max_size=12)


@given(texts)
def test_no_text_breaks_a_subject_and_each_has_a_token_of_its_own(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", token(text))
    assert text_of(token(text)) == text


@pytest.mark.parametrize(
    ("text", "encoded"),
    [("BTCUSDT", "BTCUSDT"), ("BTC-USD", "BTC-USD"), ("", "="), ("a.b", "a=2Eb"), ("币", "=E5=B8=81"), ("=", "=3D")],
)
def test_tokens(text: str, encoded: str) -> None:
    assert token(text) == encoded


@pytest.mark.parametrize("wrong", ["=4", "=zz", "=41", "a=", "ü", "=FF"])
def test_what_is_no_token_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        text_of(wrong)


@given(texts, texts)
def test_venue_and_channel_of_a_subject(venue: str, symbol: str) -> None:
    subject = subject_of(Topic("Candle", symbol, "1m", venue), "forming")
    assert (venue_of(subject), channel_of(subject)) == (venue, "Candle")
    assert len(subject.split(".")) == 6


def test_subjects_of_markets_and_of_accounts_are_apart() -> None:
    assert subject_of(Topic("Candle", "BTCUSDT", "1m", "binance")) == "mf.binance.BTCUSDT.Candle.1m"
    position = Topic("Position", "BTCUSDT", "", "binance-usdm", "main long")
    assert subject_of(position) == "mf-account.binance-usdm.BTCUSDT.Position.main=20long"
    assert subject_of(Topic("Status", venue="binance"), "flow", "market") == f"mf.binance.{NONE}.Status.flow.market"


def test_a_reader_without_the_right_to_accounts_asks_for_markets_alone() -> None:
    assert filters(["binance", "kraken"], accounts=False) == ["mf.binance.>", "mf.kraken.>"]
    assert filters(["binance"], accounts=True) == ["mf.binance.>", "mf-account.binance.>"]
