from msgspec import structs

from flows.verification.checks.exchange import absent, against
from sources.binance.rules import RULES
from tests.fakes.candles import BEGIN, candle, kline_like

COVERED = (BEGIN, BEGIN + 600_000)


def test_the_same_in_every_field_is_right() -> None:
    assert list(against([candle()], {BEGIN: kline_like(candle())}, covered=COVERED)) == []


def test_a_field_that_the_exchange_denies_is_named_with_both_values() -> None:
    (finding,) = against([candle(proof="equal")], {BEGIN: kline_like(candle(), close=100.5)}, covered=COVERED)

    assert (finding.kind, finding.open_time) == ("exchange", BEGIN)
    assert finding.claimed == "close 101.0 (final, proof 'equal')"
    assert finding.true == "close 101.0 ≠ 100.5"


def test_what_says_that_it_lacks_trades_or_that_theirs_was_wrong_may_differ() -> None:
    klines = {BEGIN: kline_like(candle(), volume=99.0)}
    for said in (candle(status="partial"), candle(proof="theirs wrong")):
        assert list(against([said], klines, covered=COVERED)) == []
    assert list(against([said], klines, covered=COVERED, has_no_ground=lambda _: True))
    usdm = structs.replace(candle(proof="not comparable"), venue="binance-usdm")
    assert list(against([usdm], klines, covered=COVERED, rules=RULES["binance-usdm"])) == []
    assert list(against([structs.replace(usdm, proof="equal")], klines, covered=COVERED, rules=RULES["binance-usdm"]))


def test_a_candle_that_the_exchange_does_not_have_is_named_where_all_of_its_are_known() -> None:
    assert [f.open_time for f in against([candle(1), candle(20)], {}, covered=COVERED)] == [BEGIN + 60_000]


def test_a_candle_that_only_the_exchange_has_is_absent_between_others() -> None:
    klines = {BEGIN + n * 60_000: kline_like(candle(n)) for n in range(4)}
    found = absent({BEGIN, BEGIN + 120_000}, klines, (BEGIN, BEGIN + 120_000), ("BTCUSDT", "1m"))

    assert [f.open_time for f in found] == [BEGIN + 60_000]
