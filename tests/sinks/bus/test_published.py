"""What an earlier process has published is left out, however the trades are cut into messages now."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from flows.model import TradeBatch
from sinks.bus.entry import Entry, Kept
from sinks.bus.published import Published
from sinks.hub.messages import Message, Topic
from sinks.hub.payloads import ChartUpdate
from tests.fakes.candles import BEGIN, candle
from tests.fakes.trades import trade


def kept_of(numbers: list[int], price: float = 100.0, **options: object) -> Kept:
    batch = TradeBatch("binance", "BTCUSDT", [trade(number, number, price) for number in numbers], **options)  # type: ignore[arg-type]
    return Entry.of(Message(Topic("Trade", "BTCUSDT", venue="binance"), batch, 0, BEGIN), "flow").fixed()


def ids(kept: Kept | None) -> list[int]:
    return [row["id"] for row in msgspec.json.decode(kept.body)["data"]["trades"]] if kept else []


def cut(draw: st.DrawFn, numbers: list[int]) -> list[list[int]]:
    at = sorted(draw(st.sets(st.integers(1, max(1, len(numbers) - 1)))))
    return [part for begin, end in zip([0, *at], [*at, len(numbers)], strict=True) if (part := numbers[begin:end])]


cuts = st.composite(cut)


@given(cuts([*range(1, 31)]), cuts([*range(5, 61)]))
def test_every_trade_is_published_once(before: list[list[int]], after: list[list[int]]) -> None:
    published = Published()
    for part in before:
        kept = kept_of(part)
        published.add(kept.subject, kept.message_id, kept.body)
    new = [rest for part in after if (rest := published.without(kept_of(part)))]
    assert [number for rest in new for number in ids(rest)] == [*range(31, 61)]
    assert all(rest.trades == len(ids(rest)) for rest in new)


def test_the_rest_of_a_message_is_as_if_it_had_come_alone() -> None:
    published, there = Published(), kept_of([1, 2])
    published.add(there.subject, there.message_id, there.body)
    assert published.without(kept_of([2, 3, 4])) == kept_of([3, 4])
    assert published.without(kept_of([1])) is None
    assert published.without(kept_of([5])) == kept_of([5])


def test_trades_with_other_values_than_before_are_published_again() -> None:
    published, there = Published(), kept_of([1, 2])
    published.add(there.subject, there.message_id, there.body)
    corrected = kept_of([1, 2], price=101.0, late=True, replaced=(trade(1, 1), trade(2, 2)))
    assert published.without(corrected) is corrected
    published.add(corrected.subject, corrected.message_id, corrected.body)
    assert published.without(corrected) is None


def test_a_candle_is_the_same_with_another_price_and_not_with_another_value() -> None:
    def of(one: object) -> Kept:
        message = Message(Topic("ChartUpdate", "BTCUSDT", "1m", "binance"), ChartUpdate(one, None), 0, BEGIN)  # type: ignore[arg-type]
        return Entry.of(message, "flow").fixed()

    published, there = Published(), of(candle(0))
    published.add(there.subject, there.message_id, there.body)
    assert published.without(of(candle(0, event_time=BEGIN + 70_000))) is None
    for other in (of(candle(0, revision=1)), of(candle(0, close=100.5)), of(candle(1))):
        assert published.without(other) is other


@given(
    st.sampled_from(["mf", "mf.binance", "mf.binance.BTCUSDT", "mf.binance.BTCUSDT.Trade", "mf.=.=.Trade"]),
    st.binary() | st.sampled_from([b"{}", b"[]", b'{"data":{"trades":[{"id":[]}]}}', b'{"data":' + b"[" * 100_000]),
)
def test_what_no_flow_has_published_is_left_out(subject: str, body: bytes) -> None:
    published = Published()
    ours = kept_of([1, 2])
    published.add(ours.subject, ours.message_id, ours.body)
    published.add(subject, "", body)
    assert ids(published.without(kept_of([2, 3]))) == [3]
