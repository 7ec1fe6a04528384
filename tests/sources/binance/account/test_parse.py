"""What the frames of private streams mean; the frames are those of the documentation."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from flows.model.account import (
    AccountEvent,
    AccountReport,
    AccountUpdate,
    BalanceChange,
    BalanceReport,
    LeverageReport,
    PositionReport,
)
from flows.model.secret import Secret
from sources.account import ParsedAccount
from sources.binance.account.spot import SpotAccount
from sources.binance.account.usdm import UsdmAccount
from sources.binance.rest import BinanceRest
from tests.fakes.account_follower import Settings

D = Decimal
SUBSCRIBED = b'{"id":"subscribe","status":200,"result":{"subscriptionId":0},"rateLimits":[]}'
WALLET = (
    b'{"e":"ACCOUNT_UPDATE","E":1767225600200,"T":1767225600198,"a":{"m":"ORDER","B":[{"a":"USDT","wb":"1000.25000000",'
    b'"cw":"990.25000000","bc":"0"}],"P":[{"s":"BTCUSDT","pa":"-0.010","ep":"93120.50","bep":"93157.70","cr":"0",'
    b'"up":"1.20000000","mt":"cross","iw":"0","ps":"BOTH"}]}}'
)


class _Rest:
    weight_share, timeout_s, tries = 0.8, 1.0, 1


class _Feed:
    origin, streams, rest_url = "replay", ("aggTrade",), "http://127.0.0.1:1"

    def __init__(self, venue: str) -> None:
        self.venue = venue


def settings_of(venue: str) -> tuple[Settings, BinanceRest]:
    own = Settings(
        venue=venue,
        api_key=Secret("key"),
        api_secret=Secret("secret"),
        rest_url=_Feed.rest_url,
        ws_url="ws://127.0.0.1:1",
    )
    return own, BinanceRest.of(_Feed(venue), _Rest())  # type: ignore[arg-type]


def spot() -> SpotAccount:
    account = SpotAccount(*settings_of("binance"))
    assert account.parse(SUBSCRIBED).reports == (AccountEvent("opened"),)
    return account


def usdm() -> UsdmAccount:
    return UsdmAccount(*settings_of("binance-usdm"))


@pytest.mark.parametrize(
    ("event", "report"),
    [
        (
            (
                '{"e":"outboundAccountPosition","E":1767225600123,"u":1767225600122,'
                '"B":[{"a":"BTC","f":"0.51000000","l":"0.00000000"}]}'
            ),
            AccountUpdate(1767225600122, (BalanceReport("BTC", D("0.51000000"), D("0E-8")),)),
        ),
        (
            '{"e":"balanceUpdate","E":1767225660001,"a":"USDT","d":"-25.50000000","T":1767225660000}',
            AccountUpdate(1767225660001, changes=(BalanceChange("USDT", D("-25.5")),)),
        ),
        (
            '{"e":"externalLockUpdate","E":1767225661001,"a":"BTC","d":"0.01000000","T":1767225661000}',
            AccountUpdate(1767225661001, changes=(BalanceChange("BTC", D("0.01")),)),
        ),
        (
            '{"e":"eventStreamTerminated","E":1767225999000}',
            AccountEvent("expired", "the venue has ended the subscription"),
        ),
        ('{"e":"executionReport","E":1}', AccountEvent("alive")),
        ('{"e":"somethingNew","x":{}}', AccountEvent("alive")),
    ],
)
def test_events_of_spot(event: str, report: AccountReport) -> None:
    assert spot().parse(b'{"subscriptionId":0,"event":%b}' % event.encode()).reports == (report,)


def test_an_event_of_another_subscription_is_no_event_of_ours() -> None:
    frame = b'{"subscriptionId":7,"event":{"e":"balanceUpdate","E":1767225660001,"a":"USDT","d":"1","T":1}}'
    assert spot().parse(frame).reports == (AccountEvent("alive"),)


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (b'{"id":"subscribe","status":400,"error":{"code":-1022,"msg":"x"}}', "refused", "does not belong to api_key"),
        (b'{"id":"subscribe","status":401,"error":{"code":-2015,"msg":"x"}}', "refused", "does not take this key"),
        (b'{"id":"subscribe","status":403,"error":{"code":0,"msg":"x"}}', "refused", "the venue forbids it"),
        (b'{"id":"subscribe","status":400,"error":{"code":-1021,"msg":"x"}}', "expired", "not subscribed"),
        (b'{"id":"ping","status":200,"result":[{"subscriptionId":0}]}', "alive", ""),
        (b'{"id":"ping","status":200,"result":[]}', "expired", "no longer has the subscription"),
        (b'{"event":{"e":"serverShutdown","E":1767225999000}}', "expired", "about to close"),
    ],
)
def test_replies_of_spot(reply: bytes, kind: str, says: str) -> None:
    [report] = spot().parse(reply).reports
    assert isinstance(report, AccountEvent)
    assert report.kind == kind
    assert says in report.reason


def test_an_update_of_usdm_has_wallet_and_signed_positions() -> None:
    expected = AccountUpdate(
        1767225600198,
        (BalanceReport("USDT", D("990.25"), D("10.00")),),
        positions=(
            PositionReport(
                "BTCUSDT", "BOTH", D("-0.010"), D("93120.50"), D("93157.70"), None, D("1.2"), D(0), None, "cross"
            ),
        ),
    )
    assert usdm().parse(WALLET).reports == (expected,)


def test_an_answer_without_the_subscription_is_no_sign_of_its_life() -> None:
    for frame in (b'{"id":"ping","status":400,"error":{"code":-1003,"msg":"x"}}', b'{"id":null,"status":400}', b"{}"):
        assert spot().parse(frame) == ParsedAccount()
    for frame in (b'{"id":1,"error":{"code":2,"msg":"x"}}', b'{"id":7,"result":null}'):
        assert usdm().parse(frame) == ParsedAccount()


@pytest.mark.parametrize("account", [(SpotAccount, "binance"), (UsdmAccount, "binance-usdm")])
@pytest.mark.parametrize(
    ("changes", "begin"),
    [
        ({"origin": "live"}, "wss://"),
        ({"origin": "testnet"}, "wss://"),
        ({"origin": "replay"}, "ws://127.0.0.1:1"),
        ({"origin": "live", "accounts_ws_url": "wss://own.example"}, "wss://own.example"),
    ],
)
def test_a_relay_of_the_market_gets_no_signed_request(account: Any, changes: dict[str, str], begin: str) -> None:
    build, venue = account
    own, rest = settings_of(venue)
    assert build(replace(own, **changes), rest)._url.startswith(begin)


@pytest.mark.parametrize(
    ("frame", "report"),
    [
        (
            b'{"e":"ACCOUNT_CONFIG_UPDATE","E":1767225601000,"T":1767225600999,"ac":{"s":"BTCUSDT","l":20}}',
            AccountUpdate(1767225600999, leverages=(LeverageReport("BTCUSDT", 20),)),
        ),
        (
            b'{"e":"listenKeyExpired","E":1767229200000,"listenKey":"k1"}',
            AccountEvent("expired", "the listen key has expired"),
        ),
        (b'{"e":"TRADE_LITE","E":1}', AccountEvent("alive")),
        (b'{"result":[],"id":1}', AccountEvent("expired", "the venue no longer has the stream")),
    ],
)
def test_events_of_usdm(frame: bytes, report: AccountReport) -> None:
    assert usdm().parse(frame).reports == (report,)


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-sNaN", "1e400", "1e-400", "9" * 60, "x", "", None, [], True])
def test_an_amount_that_cannot_be_is_refused(amount: Any) -> None:
    import json  # noqa: PLC0415

    frame = {"subscriptionId": 0, "event": {"e": "balanceUpdate", "E": 1767225660001, "a": "USDT", "d": amount}}
    parsed = spot().parse(json.dumps(frame).encode())
    assert parsed.reports == ()
    assert parsed.refused


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"wb":"1000.25000000","cw":"990.25000000"', b'"wb":"Infinity","cw":"Infinity"'),
        (b'"wb":"1000.25000000","cw":"990.25000000"', b'"wb":"9e999999","cw":"-9e999999"'),
        (b'"pa":"-0.010"', b'"pa":"sNaN"'),
        (b'"pa":"-0.010","ep"', b'"ps":"SHORT","pa":"-sNaN","ep"'),
    ],
)
def test_amounts_that_cannot_be_computed_with_are_refused(old: bytes, new: bytes) -> None:
    assert old in WALLET
    parsed = usdm().parse(WALLET.replace(b',"ps":"BOTH"', b"").replace(old, new))
    assert parsed.reports == ()
    assert parsed.refused


@settings(max_examples=200, deadline=None)
@given(
    frame=st.sampled_from([WALLET, SUBSCRIBED]),
    at=st.integers(0, 400),
    what=st.binary(min_size=0, max_size=6),
    cut=st.integers(0, 8),
)
def test_no_frame_makes_a_parser_fail(frame: bytes, at: int, what: bytes, cut: int) -> None:
    at %= len(frame)
    for parse in (SPOT.parse, USDM.parse):
        parsed = parse(frame[:at] + what + frame[at + cut :])
        assert not (parsed.reports and parsed.refused)


SPOT, USDM = spot(), usdm()
