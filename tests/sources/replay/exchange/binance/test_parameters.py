from collections.abc import Callable

import pytest

from sources.replay.exchange.binance.parameters import ApiError, Parameters, Takes

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
        (
            {"symbols": '["BTCUSDT", "ETHUSDT"]'},
            lambda p: p.symbols(KNOWN),
            -1100,
            "characters found in parameter 'symbols'",
        ),
        ({"symbols": '["BTCUSDT","BTCUSDT"]'}, lambda p: p.symbols(KNOWN), -1151, "present multiple times"),
        ({}, lambda p: p.some_symbols(KNOWN), -1102, "'symbol' or 'symbols' must be sent"),
        ({"permissions": "spot"}, lambda p: p.words("permissions"), -1100, "parameter 'permissions'"),
        ({"symbol": "X"}, lambda p: p.check(Takes(("symbol", "interval")), refuses_others=False), -1102, "'interval'"),
        ({"symbols": '["NOSUCH"]'}, lambda p: p.symbols(KNOWN), -1121, "Invalid symbol."),
        ({"interval": "1M"}, lambda p: p.interval(("1m",)), -1120, "Invalid interval."),
        ({}, lambda p: p.interval(("1m",)), -1102, "Mandatory parameter 'interval'"),
        ({"limit": "-1"}, lambda p: p.limit(default=5, most=10), -1100, "legal range is '^[0-9]{1,20}$'"),
        ({"limit": "0"}, lambda p: p.limit(default=5, most=10), -1130, "Data sent for parameter 'limit' is not valid."),
        ({"limit": "11"}, lambda p: p.limit(default=5, most=10, clamps=False), -1130, "'limit' is not valid"),
        ({"type": "HALF"}, lambda p: p.choice("type", ("FULL",), default="FULL"), -1130, "'type' is not valid"),
        (
            {"a": "1", "b": "1"},
            lambda p: p.check(Takes(), refuses_others=True),
            -1101,
            "Too many parameters; expected '0' and received '2'.",
        ),
        (
            {"a": "1", "b": "1"},
            lambda p: p.check(Takes((), ("a",)), refuses_others=True),
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
    sent = {"symbols": '["ETHUSDT","BTCUSDT"]', "startTime": "1767225600000123", "endTime": "1767225600000"}
    parameters = Parameters(sent)
    assert parameters.symbols(KNOWN) == ("ETHUSDT", "BTCUSDT")
    assert parameters.time_ms("startTime") == parameters.time_ms("endTime") == 1_767_225_600_000
    assert parameters.limit(default=500, most=1_000) == 500
    parameters.check(Takes((), ("symbols", "startTime", "endTime")), refuses_others=True)
    parameters.check(Takes(), refuses_others=False)
    assert Parameters({"permissions": '["SPOT","TRD_GRP_004"]'}).words("permissions") == ("SPOT", "TRD_GRP_004")
    assert Parameters({"permissions": "SPOT"}).words("permissions") == ("SPOT",)
    assert Parameters({"limit": "70000"}).limit(default=500, most=1_000) == 1_000
    assert Parameters({}).symbols(KNOWN) is None


@pytest.mark.parametrize(
    ("zone", "hours"), [("0", 0.0), ("8", 8.0), ("+08:00", 8.0), ("-1:30", -1.5), ("-12", -12.0), ("14:00", 14.0)]
)
def test_time_zones(zone: str, hours: float) -> None:
    assert Parameters({"timeZone": zone}).zone_ms() == hours * 3_600_000


@pytest.mark.parametrize("zone", ["+15:00", "-12:01", "Berlin", "8:60", "08:00:00"])
def test_time_zones_that_there_are_not(zone: str) -> None:
    with pytest.raises(ApiError, match="'timeZone' is not valid"):
        Parameters({"timeZone": zone}).zone_ms()


def test_one_value_a_parameter() -> None:
    with pytest.raises(ApiError, match="Duplicate values for a parameter detected") as refused:
        Parameters.of_request([("symbol", "BTCUSDT"), ("symbol", "BTCUSDT")], None)
    assert refused.value.code == -1101


@pytest.mark.parametrize("key", [None, "", "short", "x" * 65, "-" * 64])
def test_some_endpoints_need_a_key(key: str | None) -> None:
    takes = Takes(needs_key=True)
    with pytest.raises(ApiError, match="API-key format invalid") as refused:
        Parameters({}, key=key).check(takes, refuses_others=False)
    assert (refused.value.code, refused.value.status) == (-2014, 401)
    Parameters({}, key="k" * 64).check(takes, refuses_others=False)


def test_a_name_in_another_script_is_taken_and_a_hostile_one_is_not() -> None:
    assert Parameters({"symbol": "币安人生USDT"}).symbol(("币安人生USDT",)) == "币安人生USDT"
    assert Parameters({"symbols": '["币安人生USDT"]'}).symbols(("币安人生USDT",)) == ("币安人生USDT",)
    for name in ("A B", "<img>", "BTCUSDT\n", "A\u202eB"):
        with pytest.raises(ApiError) as refused:
            Parameters({"symbol": name}).symbol((name,))
        assert refused.value.code == -1100
