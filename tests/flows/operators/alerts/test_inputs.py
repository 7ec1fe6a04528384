"""What reaches the machines of alerts: their rules first, and nothing where no rule watches."""

from typing import Any

from flows.model import ChannelStatus, Heartbeat, Incident, InstrumentStatus, Removed, TradeBatch
from flows.model.alerts import AlertRule, LastAlert, RuleBook, WatchedRule
from flows.operators.alerts.inputs import SETTLE_MS, AlertInputs, Paused, RuleSet, StoreState, Unfollowed

TRADES = TradeBatch("kraken", "BTC-USD", [])
OTHERS = TradeBatch("kraken", "ETH-USD", [])
LIVE = ChannelStatus("trades", "live", 0)
HIGH = AlertRule("high", "price_above", symbol="BTCUSD", price=1.0)


def status(*channels: ChannelStatus, symbol: str = "BTC-USD") -> InstrumentStatus:
    return InstrumentStatus("kraken", symbol, "live", 0, "", channels or (LIVE,))


def watched(*rules: AlertRule) -> tuple[WatchedRule, ...]:
    return tuple(WatchedRule(rule, 7) for rule in rules)


class Router:
    """The inputs, and rules that can be changed."""

    def __init__(self, *rules: AlertRule, **more: Any) -> None:
        self.book = RuleBook(watched(*rules), **more)
        self.names = {"BTCUSD": "BTC-USD"}
        self.local = 0
        self.inputs = AlertInputs(
            "kraken", lambda: self.book, lambda name: self.names.get(name, name), lambda: self.local
        )

    def take(self, *items: Any) -> list[tuple[str, Any]]:
        return self.inputs(list(items))


def test_without_rules_nothing_passes() -> None:
    router = Router()
    store = ChannelStatus("store", "not stored", 0)
    assert router.take(TRADES, status(store), Incident("gap", "kraken", "BTC-USD", 1, 2, ""), Heartbeat("v", 1)) == []


def test_rules_come_before_the_first_item_of_their_instrument_and_once() -> None:
    router = Router(HIGH)
    assert router.take(OTHERS, TRADES, TRADES) == [
        ("kraken:BTC-USD", RuleSet(watched(HIGH))), ("kraken:BTC-USD", TRADES), ("kraken:BTC-USD", TRADES),
    ]  # fmt: skip
    more = AlertRule("any", "gap")
    router.book = RuleBook(watched(HIGH, more))
    assert router.take(TRADES) == [("kraken:BTC-USD", RuleSet(watched(HIGH, more))), ("kraken:BTC-USD", TRADES)]
    assert router.take(OTHERS) == [("kraken:ETH-USD", RuleSet(watched(more))), ("kraken:ETH-USD", OTHERS)]
    router.book = RuleBook()
    assert router.take(TRADES) == [("kraken:BTC-USD", RuleSet(())), ("kraken:BTC-USD", TRADES)]
    assert router.take(TRADES) == []


def test_a_new_rule_has_the_known_states_before_anything_else_comes() -> None:
    store = ChannelStatus("store", "not stored", 5)
    known, other = status(LIVE, store), status(symbol="ETH-USD")
    router = Router()
    assert router.take(known, other) == []
    outage = AlertRule("outage", "store_outage")
    router.book = RuleBook(watched(HIGH, outage))
    expected = [
        ("kraken:BTC-USD", RuleSet(watched(HIGH))), ("kraken:BTC-USD", known),
        ("kraken:", RuleSet(watched(outage))), ("kraken:", StoreState(store)),
    ]  # fmt: skip
    assert [one for one in router.take(Heartbeat("kraken", 1)) if one[1] != other] == expected
    assert router.take(Heartbeat("kraken", 2)) == []
    router.take(Removed("trades", ("BTC-USD",), ("trade",), is_gone=True))
    router.book = RuleBook(watched(HIGH))
    assert known not in [item for _, item in router.take(Heartbeat("kraken", 3))]


def test_rules_of_another_venue_are_none_of_this_one() -> None:
    assert Router(AlertRule("high", "price_above", "binance", "BTC-USD", price=1.0)).take(TRADES) == []


def test_a_name_that_is_known_later_is_found_with_the_next_state() -> None:
    router = Router(HIGH)
    router.names = {}
    assert router.take(TRADES) == []
    router.names = {"BTCUSD": "BTC-USD"}
    assert [key for key, _ in router.take(status(), TRADES)] == ["kraken:BTC-USD"] * 3


def test_until_the_stored_rules_are_read_recovered_ones_get_their_input() -> None:
    router = Router(is_complete=False)
    assert router.take(TRADES) == [("kraken:BTC-USD", RuleSet((), is_complete=False)), ("kraken:BTC-USD", TRADES)]
    router.book = RuleBook()
    assert router.take(TRADES)[0] == ("kraken:BTC-USD", RuleSet(()))
    assert router.take(TRADES) == []


def test_what_has_fired_is_known_with_the_same_terms_alone() -> None:
    last = LastAlert(HIGH, 3, 5, 99)
    router = Router(HIGH, fired={("high", "kraken", "BTC-USD"): last})
    assert router.take(TRADES)[0][1] == RuleSet((WatchedRule(HIGH, 3, last),))
    other = AlertRule("high", "price_above", symbol="BTCUSD", price=2.0)
    assert Router(other, fired={("high", "kraken", "BTC-USD"): last}).take(TRADES)[0][1] == RuleSet(watched(other))


def test_the_state_of_the_stores_is_the_venues_once() -> None:
    rule = AlertRule("stores", "store_outage")
    router = Router(rule)
    down = ChannelStatus("store", "not stored", 0, "no server")
    state = StoreState(down)
    assert router.take(status(LIVE, down), status(LIVE, down, symbol="ETH-USD")) == [
        ("kraken:", RuleSet(watched(rule))), ("kraken:", state),
    ]  # fmt: skip
    up = ChannelStatus("store", "live", 0)
    assert router.take(status(LIVE, up)) == [("kraken:", StoreState(up))]
    router.book = RuleBook(watched(rule, AlertRule("more", "store_outage")))
    assert router.take(status(LIVE, up))[1] == ("kraken:", StoreState(up))


def test_a_symbol_that_is_removed_is_not_known_any_more() -> None:
    router = Router(HIGH)
    router.take(TRADES)
    assert router.take(Removed("line", ("BTC-USD",), (), is_gone=False)) == []
    assert router.take(Removed("line", ("BTC-USD",), (), is_gone=True)) == [("kraken:BTC-USD", Unfollowed())]


def test_a_pause_of_the_process_is_said_once_to_each_instrument() -> None:
    router = Router(AlertRule("any", "gap"))
    router.take(TRADES, OTHERS)
    router.local += 5_000
    assert [item for _, item in router.take(TRADES)] == [TRADES]
    router.local += 5_001
    assert router.take() == []
    assert [item for _, item in router.take(TRADES, TRADES, OTHERS)] == [
        Paused(SETTLE_MS), TRADES, TRADES, Paused(SETTLE_MS), OTHERS,
    ]  # fmt: skip
