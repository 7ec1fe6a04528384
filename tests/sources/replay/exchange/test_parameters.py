from collections.abc import Callable

import pytest

from sources.replay.exchange.parameters import ApiError, Parameters

KNOWN = ("BTCUSDT", "ETHUSDT")


@pytest.mark.parametrize(
    ("sent", "read", "code", "message"),
    [
        (
            {},
            lambda p: p.symbol(KNOWN),
            -1102,
            "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.",
        ),
        ({"symbol": ""}, lambda p: p.symbol(KNOWN), -1105, "Parameter 'symbol' was empty."),
        (
            {"symbol": "btcusdt"},
            lambda p: p.symbol(KNOWN),
            -1100,
            "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.",
        ),
        ({"symbol": "NOSUCH"}, lambda p: p.symbol(KNOWN), -1121, "Invalid symbol."),
        (
            {"symbol": "BTCUSDT", "symbols": "[]"},
            lambda p: p.symbols(KNOWN),
            -1128,
            "Combination of optional parameters",
        ),
        ({"symbols": "BTCUSDT"}, lambda p: p.symbols(KNOWN), -1100, "Illegal characters found in parameter 'symbols'"),
        ({"symbols": '["NOSUCH"]'}, lambda p: p.symbols(KNOWN), -1121, "Invalid symbol."),
        ({"interval": "1M"}, lambda p: p.interval(("1m",)), -1120, "Invalid interval."),
        ({}, lambda p: p.interval(("1m",)), -1102, "Mandatory parameter 'interval'"),
        ({"limit": "-1"}, lambda p: p.limit(default=5, most=10), -1100, "legal range is '^[0-9]{1,20}$'"),
        ({"limit": "0"}, lambda p: p.limit(default=5, most=10), -1130, "Data sent for parameter 'limit' is not valid."),
        ({"limit": "11"}, lambda p: p.limit(default=5, most=10, clamps=False), -1130, "'limit' is not valid"),
        ({"type": "HALF"}, lambda p: p.choice("type", ("FULL",), default="FULL"), -1130, "'type' is not valid"),
        (
            {"a": "1", "b": "1"},
            lambda p: p.refuse_unread(),
            -1101,
            "Too many parameters; expected '0' and received '2'.",
        ),
        (
            {"a": "1", "b": "1"},
            lambda p: (p.text("a"), p.refuse_unread()),
            -1104,
            "Not all sent parameters were read; read '1' parameter(s) but was sent '2'.",
        ),
    ],
)
def test_what_the_exchange_refuses(
    sent: dict[str, str], read: Callable[[Parameters], object], code: int, message: str
) -> None:
    with pytest.raises(ApiError) as refused:
        read(Parameters(sent))
    assert (refused.value.code, refused.value.status) == (code, 400)
    assert message in refused.value.message


def test_what_it_takes() -> None:
    sent = {"symbols": '["ETHUSDT","BTCUSDT","ETHUSDT"]', "startTime": "1767225600000123", "endTime": "1767225600000"}
    parameters = Parameters(sent)
    assert parameters.symbols(KNOWN) == ("ETHUSDT", "BTCUSDT")
    assert parameters.time_ms("startTime") == parameters.time_ms("endTime") == 1_767_225_600_000
    assert parameters.limit(default=500, most=1_000) == 500
    parameters.refuse_unread()
    assert Parameters({"limit": "70000"}).limit(default=500, most=1_000) == 1_000
    assert Parameters({}).symbols(KNOWN) is None


def test_a_name_in_another_script_is_taken_and_a_hostile_one_is_not() -> None:
    assert Parameters({"symbol": "币安人生USDT"}).symbol(("币安人生USDT",)) == "币安人生USDT"
    assert Parameters({"symbols": '["币安人生USDT"]'}).symbols(("币安人生USDT",)) == ("币安人生USDT",)
    for name in ("A B", "<img>", "BTCUSDT\n", "A\u202eB"):
        with pytest.raises(ApiError) as refused:
            Parameters({"symbol": name}).symbol((name,))
        assert refused.value.code == -1100
