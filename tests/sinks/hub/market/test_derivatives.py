"""What the hub sends of derivatives, and what a new client gets."""

from typing import Any

from msgspec import structs

from flows.clock import Now
from flows.model import FeedStatus, Funding, FundingState, Liquidation, MarkPrice, OpenInterest, Publishable
from flows.settings import Hub as HubSettings
from sinks.hub.market.derivatives import LIQUIDATIONS_SHOWN
from sinks.hub.messages import exchange_time
from sinks.hub.policy import Hub
from sinks.hub.subscription import Rule, Subscription

BEGIN = 1_767_225_600_000
VENUE, SYMBOL = "binance-usdm", "BTCUSDT"
MARK = MarkPrice(SYMBOL, BEGIN, 100.0, 101.0, 99.0, 0.0001, BEGIN + 60_000, venue=VENUE)
LAST = Funding(VENUE, SYMBOL, BEGIN - 1, 0.0002, None)
STATE = FundingState(VENUE, SYMBOL, BEGIN, 0.0001, BEGIN + 60_000, 8, 0.02, -0.02, LAST)
INTEREST = OpenInterest(VENUE, SYMBOL, BEGIN, 5.0)
ORDER = Liquidation(SYMBOL, BEGIN + 5, BEGIN, "SELL", 99.0, 99.5, 1.5, 1.25, venue=VENUE)
CHANNELS = frozenset(("MarkPrice", "Funding", "OpenInterest", "Liquidation"))


def hub(rate: int = 10) -> Hub:
    return Hub(HubSettings(rate=rate), origins={VENUE: "replay"}, first_seq=0)


def now(ms: int = 0) -> Now:
    return Now(BEGIN + ms, ms)


def state_of(served: Hub, *channels: str) -> list[Any]:
    """The data of the messages that a new client gets."""
    wanted = Subscription((Rule(wanted=True, channels=frozenset(channels) or CHANNELS),))
    return [message.envelope() for message in served._state.messages(wanted.wants)]


def publish(served: Hub, *items: Publishable, at: int = 0) -> None:
    served.publish(items, now(at))


def test_each_has_a_message_of_its_own() -> None:
    served = hub()
    publish(served, MARK, STATE, INTEREST, ORDER)
    mark, state, interest, order = (envelope.data for envelope in state_of(served))
    assert structs.asdict(mark) == {
        "venue": VENUE, "symbol": SYMBOL, "mark_price": 100.0, "index_price": 101.0, "settle_price": 99.0,
        "timestamp": BEGIN,
    }  # fmt: skip
    assert structs.asdict(state) | {"last": structs.asdict(state.last)} == {
        "venue": VENUE, "symbol": SYMBOL, "rate": 0.0001, "next_time": BEGIN + 60_000, "interval_hours": 8,
        "cap": 0.02, "floor": -0.02, "timestamp": BEGIN,
        "last": {"time": BEGIN - 1, "rate": 0.0002, "mark_price": None},
    }  # fmt: skip
    assert structs.asdict(interest) == {
        "venue": VENUE, "symbol": SYMBOL, "quantity": 5.0, "value": None, "timestamp": BEGIN,
    }  # fmt: skip
    assert structs.asdict(order) == {
        "venue": VENUE, "symbol": SYMBOL, "side": "SELL", "price": 99.0, "average_price": 99.5, "quantity": 1.5,
        "filled": 1.25, "timestamp": BEGIN,
    }  # fmt: skip


def test_a_contract_without_funding_has_nulls() -> None:
    served = hub()
    publish(served, structs.replace(STATE, rate=None, next_time=0, last=None, interval_hours=None))
    [envelope] = state_of(served, "Funding")
    assert (envelope.data.rate, envelope.data.next_time, envelope.data.last) == (None, None, None)


def test_what_comes_too_often_waits_and_the_newest_is_sent_last() -> None:
    served = hub(rate=10)
    publish(served, MARK)
    publish(served, structs.replace(MARK, mark_price=101.0), structs.replace(MARK, mark_price=102.0), at=1)
    assert served.published["MarkPrice"] == 1
    assert served.next_deadline_ms == 100
    served.on_time(now(100))
    assert served.published["MarkPrice"] == 2
    assert [envelope.data.mark_price for envelope in state_of(served, "MarkPrice")] == [102.0]
    publish(served, structs.replace(MARK, mark_price=103.0), at=101)
    served.release(now(102))
    assert [envelope.data.mark_price for envelope in state_of(served, "MarkPrice")] == [103.0]


def test_every_liquidation_is_sent_and_a_new_client_gets_the_last_ones() -> None:
    served = hub()
    many = [structs.replace(ORDER, time=BEGIN + number) for number in range(3 * LIQUIDATIONS_SHOWN + 1)]
    publish(served, *many)
    assert served.published["Liquidation"] == len(many)
    shown = [envelope.data.timestamp for envelope in state_of(served, "Liquidation")]
    assert len(shown) == LIQUIDATIONS_SHOWN
    assert shown == sorted(shown)
    assert shown[-1] == BEGIN + 60


def test_a_removed_symbol_has_no_state_left() -> None:
    served = hub()
    publish(served, MARK, STATE, INTEREST, ORDER)
    publish(served, structs.replace(MARK, mark_price=1.0), at=1)
    publish(served, FeedStatus(VENUE, "market", "removed", (SYMBOL,)), at=2)
    assert state_of(served) == []
    assert served.next_deadline_ms is None


def test_their_times_are_the_exchanges() -> None:
    assert [exchange_time(item) for item in (MARK, STATE, INTEREST, ORDER)] == [BEGIN, BEGIN, BEGIN, BEGIN + 5]
