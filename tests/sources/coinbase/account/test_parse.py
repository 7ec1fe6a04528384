from decimal import Decimal

import msgspec

from flows.model.account import AccountEvent, BalanceReport
from sources.coinbase.account.parse import AccountParser, balances_of, powers_of
from sources.coinbase.account.wire import AccountsPage, KeyPermissions
from tests.fakes.mutations import mutated

ORDER = (
    b'{"channel":"user","client_id":"","timestamp":"2026-01-01T00:00:06.5Z","sequence_num":3,"events":[{"type":"update",'
    b'"orders":[{"order_id":"0b1c..","client_order_id":"mf-1","cumulative_quantity":"0.001","leaves_quantity":"0",'
    b'"avg_price":"93120.5","total_fees":"0.37","status":"FILLED","product_id":"BTC-USD","creation_time":'
    b'"2026-01-01T00:00:05.1Z","order_side":"BUY","order_type":"Limit","product_type":"SPOT"}]}]}'
)
"""The documented message."""
SNAPSHOT = ORDER.replace(b'"update"', b'"snapshot"')
HEARTBEAT = (
    b'{"channel":"heartbeats","client_id":"","timestamp":"2026-01-01T00:00:06.5Z","sequence_num":4,"events":[{'
    b'"current_time":"2026-01-01 00:00:06.5 +0000 UTC m=+1.0","heartbeat_counter":9}]}'
)
OPENED = (
    b'{"channel":"subscriptions","timestamp":"2026-01-01T00:00:06.5Z","sequence_num":5,"events":[{"subscriptions":{'
    b'"heartbeats":["heartbeats"],"user":["0b1c"]}}]}'
)
REFUSED = b'{"type":"error","message":"authentication failure"}'
FRAMES = [ORDER, SNAPSHOT, HEARTBEAT, OPENED, REFUSED]
AT_MS = 1_767_225_606_500


def test_orders_ask_for_a_snapshot_and_heartbeats_are_signs_of_life() -> None:
    parser = AccountParser()
    reports = [parser.parse(frame).reports for frame in (SNAPSHOT, HEARTBEAT, OPENED)]
    assert reports == [(), (AccountEvent("alive", time=AT_MS),), (AccountEvent("opened", time=AT_MS),)]
    assert AccountParser().parse(ORDER).reports == (AccountEvent("trigger", time=AT_MS),)


def test_a_number_that_is_missing_ends_the_connection_whatever_its_channel() -> None:
    parser = AccountParser()
    parser.parse(ORDER)
    assert parser.parse(ORDER).reports == ()
    (event,) = parser.parse(OPENED.replace(b',"user":["0b1c"]', b"")).reports
    assert getattr(event, "kind", "") == "expired"
    parser.begin()
    assert parser.parse(ORDER).reports == (AccountEvent("trigger", time=AT_MS),)


def test_what_a_refusal_means() -> None:
    (event,) = AccountParser().parse(REFUSED).reports
    assert isinstance(event, AccountEvent)
    assert event.kind == "refused"
    assert "check api_key, api_secret and the clock" in event.reason
    (other,) = AccountParser().parse(b'{"type":"error","message":"rate limit exceeded"}').reports
    assert getattr(other, "kind", "") == "closed"


def test_whatever_a_frame_says_it_is_parsed_or_refused_without_its_content() -> None:
    refused = 0
    for seed in range(3_000):
        parsed = AccountParser().parse(mutated(FRAMES[seed % len(FRAMES)], seed, others=FRAMES).frame)
        refused += bool(parsed.refused)
        assert parsed.refused in ("", "it cannot be read", "it is too long", "a field is not what it should be")
    assert refused > 300


def test_balances_of_a_currency_are_those_of_all_its_wallets() -> None:
    row = b'{"currency":"BTC","available_balance":{"value":"1.23","currency":"BTC"},"hold":{"value":"0.50"}}'
    other = row.replace(b"1.23", b"0.07").replace(b"0.50", b"0")
    none = b'{"currency":"EUR","available_balance":{"value":"0"},"hold":{"value":"0"}}'
    body = b'{"accounts":[%b],"has_next":false,"cursor":"","size":3}' % b",".join((row, other, none))
    page = msgspec.json.decode(body, type=AccountsPage)
    assert balances_of(page.accounts) == (BalanceReport("BTC", Decimal("1.30"), Decimal("0.50")),)


def test_what_a_key_may_do() -> None:
    assert powers_of(KeyPermissions(can_view=True, can_trade=False, can_transfer=False)) == frozenset()
    assert powers_of(KeyPermissions(can_view=True, can_trade=True, can_transfer=True)) == {"trade", "transfer"}
