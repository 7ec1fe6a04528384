from decimal import Decimal

import msgspec
import pytest

from flows.model.account import AccountEvent, AccountUpdate, BalanceChange, BalanceReport, PositionReport
from sources.kraken.account import wire
from sources.kraken.account.parse import AccountParser, balances_of, positions_of, powers_of
from tests.fakes.mutations import mutated

SNAPSHOT = (
    b'{"channel":"balances","type":"snapshot","data":[{"asset":"BTC","asset_class":"currency","balance":0.51,"wallets":'
    b'[{"type":"spot","id":"main","balance":0.5},{"type":"earn","id":"flex","balance":0.01}]}],"sequence":1}'
)
UPDATE = (
    b'{"channel":"balances","type":"update","data":[{"ledger_id":"LABCDE-AAAAA-000001","ref_id":"TABCDE-AAAAA-000009",'
    b'"timestamp":"2026-01-01T00:00:05.123456Z","type":"trade","subtype":"","asset":"USD","asset_class":"currency",'
    b'"wallet_type":"spot","wallet_id":"main","amount":-93.12,"fee":0.24,"balance":906.64}],"sequence":2}'
)
"""The documented messages."""
AT_MS = 1_767_225_605_123
REPLIES = [
    b'{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","connection_id":44218940131}]}',
    b'{"channel":"heartbeat"}',
    b'{"method":"pong","req_id":3,"time_in":"2026-01-01T00:00:00.0Z","time_out":"2026-01-01T00:00:00.0Z"}',
    b'{"method":"subscribe","result":{"channel":"balances","snapshot":true},"success":true,"req_id":1}',
]


def test_a_change_asks_for_a_snapshot_and_counts() -> None:
    parser = AccountParser()
    assert parser.parse(SNAPSHOT).reports == ()
    change = BalanceChange("USD", Decimal("-93.36"))
    assert parser.parse(UPDATE).reports == (
        AccountUpdate(AT_MS, changes=(change,), sequence=2),
        AccountEvent("trigger", time=AT_MS),
    )


@pytest.mark.parametrize("amount", [b'"Infinity"', b'"NaN"', b"9e999999", b"-1e40", b'"sNaN"'])
def test_a_change_that_cannot_be_true_is_no_change(amount: bytes) -> None:
    parsed = AccountParser().parse(UPDATE.replace(b"-93.12", amount))
    assert parsed.refused
    assert not any(isinstance(report, AccountUpdate) for report in parsed.reports)


def test_a_number_that_is_missing_ends_the_connection_and_one_twice_is_nothing() -> None:
    parser = AccountParser()
    parser.parse(UPDATE)
    assert parser.parse(UPDATE).reports == ()
    (event, *rest) = parser.parse(UPDATE.replace(b'"sequence":2', b'"sequence":4')).reports
    assert getattr(event, "kind", "") == "expired"
    assert len(rest) == 2
    parser.begin()
    assert parser.parse(SNAPSHOT).reports == ()


def test_replies_and_other_channels() -> None:
    parser = AccountParser()
    assert [parser.parse(frame).reports for frame in REPLIES] == [
        (),
        (AccountEvent("alive"),),
        (),
        (AccountEvent("opened"),),
    ]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ("ESession:Invalid session", "expired", "token"),
        ("EGeneral:Permission denied", "refused", "WebSocket interface"),
        ("Private data and trading are unavailable … Try ws-auth.kraken.com", "refused", "accounts_ws_url"),
        ("EService:Unavailable", "closed", "refused"),
    ],
)
def test_what_a_refusal_means(error: str, kind: str, words: str) -> None:
    frame = msgspec.json.encode({"method": "subscribe", "success": False, "error": error, "req_id": 1})
    (event,) = AccountParser().parse(frame).reports
    assert isinstance(event, AccountEvent)
    assert event.kind == kind
    assert words in event.reason


def test_whatever_a_frame_says_it_is_parsed_or_refused_without_its_content() -> None:
    parser, originals = AccountParser(), [SNAPSHOT, UPDATE, *REPLIES]
    refused = 0
    for seed in range(3_000):
        parsed = parser.parse(mutated(originals[seed % len(originals)], seed, others=originals).frame)
        refused += bool(parsed.refused)
        assert len(parsed.refused) < 60
        assert "93" not in parsed.refused
    assert refused > 300


def test_balances_are_what_is_free_and_what_orders_hold() -> None:
    body = (
        b'{"error":[],"result":{"BTC":{"balance":"0.5000000000","hold_trade":"0.1000000000"},"USD":{"balance":"10.0000",'
        b'"hold_trade":"0","credit":"5","credit_used":"2"},"XXBT.M":{"balance":"0.2"},"ZEUR":{"balance":"0.0000"}}}'
    )
    rows = msgspec.json.decode(body, type=wire.BalancesAnswer).result
    assert balances_of(rows) == (
        BalanceReport("BTC", Decimal("0.4"), Decimal("0.1")),
        BalanceReport("USD", Decimal(13), Decimal(0)),
        BalanceReport("BTC.M", Decimal("0.2"), Decimal(0)),
    )


def test_positions_of_a_pair_and_side_are_one() -> None:
    row = {
        "pair": "XXBTZUSD", "type": "buy", "cost": "100", "vol": "2", "vol_closed": "0.5", "margin": "20",
        "value": "90", "net": "+15",
    }  # fmt: skip
    rows = msgspec.convert(
        [row, row | {"cost": "80", "vol": "1", "vol_closed": "0", "margin": "16", "value": "60", "net": "-20.0"}],
        list[wire.PositionRow],
    )
    (found,) = positions_of(rows, {"XXBTZUSD": "BTC-USD"}.__getitem__)
    assert found == PositionReport(
        "BTC-USD", "LONG", Decimal("2.5"), Decimal(62), mark_price=Decimal(60), unrealised_pnl=Decimal(-5),
        leverage=5, margin_type="cross",
    )  # fmt: skip
    (short,) = positions_of([msgspec.structs.replace(rows[0], type="sell", net=None, value=None)], str)
    assert (short.place, short.mark_price, short.unrealised_pnl) == ("SHORT", None, None)


def test_what_a_key_may_do() -> None:
    assert powers_of(["query-funds", "query-open-trades", "create-ws-token", "export-data"]) == frozenset()
    assert powers_of(["query-funds", "modify-trades", "withdraw-funds"]) == {"trade", "withdraw"}
    assert powers_of(["something-new"]) == {"transfer"}
