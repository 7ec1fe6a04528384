"""What of all that passes says how current the data is."""

from typing import Any

import pytest

from flows.model import BookView, Disconnected, Flush, Rejected, Removed, Subscribed
from flows.operators.parse import Batch, InstrumentEvent
from flows.operators.status.observations import PROGRESS_MS, BookSyncs, ChannelRefused, Observe, Progress, Unsynced
from flows.operators.trades.witness import REFUSED_LEAST, REFUSED_MS
from tests.fakes.candles import kline_of_ones
from tests.fakes.trades import BEGIN, trade

BTC = ("BTCUSDT",)
BOOKS = ("depth", "bookTicker")


def test_line_events_pass_and_data_does_not() -> None:
    local = [0]
    look = Observe(lambda: local[0])

    def observe(items: list[Any]) -> list[Any]:
        return look([item for item in items if not isinstance(item, Batch)], items)

    event = Disconnected("market", BTC, "line cut")
    batch = Batch("binance:BTCUSDT", [trade(1, 5)])
    assert observe([batch, event, InstrumentEvent("binance:BTCUSDT", event), Flush()]) == [
        event,
        Progress(has_caught_up=True, newest=batch.events[-1].event_time),
    ]
    assert observe([batch]) == []
    local[0] = PROGRESS_MS
    assert observe([batch]) == [Progress(has_caught_up=False, newest=batch.events[-1].event_time)]
    assert observe([batch, Flush(), batch]) == []
    local[0] = 2 * PROGRESS_MS
    assert observe([batch]) == [Progress(has_caught_up=True, newest=batch.events[-1].event_time)]
    local[0] = 3 * PROGRESS_MS
    assert observe([Flush(final=True)]) == []


KLINE = Batch("binance:BTCUSDT", [kline_of_ones(event_time=BEGIN, is_closed=False)])


class Observed:
    """What is observed of refusals, with a local clock that tests hold in their hands."""

    def __init__(self) -> None:
        self.local = 0
        self._look = Observe(lambda: self.local)

    def take(self, *items: Any) -> list[ChannelRefused]:
        out = self._look([item for item in items if not isinstance(item, Batch)], list(items))
        return [item for item in out if isinstance(item, ChannelRefused)]

    def refuse(self, kind: str = "kline_1m", *, lasts_ms: int = REFUSED_MS) -> list[ChannelRefused]:
        out = []
        for number in range(REFUSED_LEAST):
            out += self.take(Rejected("binance", f"odd {number}", b"x", 0, symbol="BTCUSDT", kind=kind))
            self.local += lasts_ms // (REFUSED_LEAST - 1)
        return out


def test_a_channel_of_which_everything_is_refused_is_told_once_and_when_it_is_over() -> None:
    seen = Observed()
    refused = ChannelRefused("BTCUSDT", "klines", "everything that comes is refused: odd 0")
    assert seen.refuse() == [refused]
    assert seen.refuse() == []
    assert seen.take(KLINE) == [ChannelRefused("BTCUSDT", "klines", "")]
    assert seen.take(KLINE) == []
    assert seen.refuse() == [refused]


def test_a_channel_of_which_something_is_taken_is_not_refused() -> None:
    seen = Observed()
    for number in range(3 * REFUSED_LEAST):
        seen.local += REFUSED_MS
        assert seen.take(Rejected("binance", "odd", b"x", 0, symbol="BTCUSDT", kind="kline_1m"), KLINE) == [], number


def test_few_refusals_or_a_short_time_make_no_channel_refused() -> None:
    seen = Observed()
    assert seen.refuse(lasts_ms=REFUSED_MS // 2) == []
    other = Observed()
    other.take(Rejected("binance", "odd", b"x", 0, symbol="BTCUSDT", kind="ticker"))
    other.local = 60_000
    assert other.take(Flush()) == []


@pytest.mark.parametrize("event", [Subscribed("market", BTC, ()), Disconnected("market", BTC, "cut")])
def test_a_stream_that_begins_anew_is_not_refused_any_more(event: Any) -> None:
    seen = Observed()
    assert len(seen.refuse()) == 1
    assert seen.take(event) == []
    assert seen.take(KLINE) == []
    assert len(seen.refuse()) == 1


@pytest.mark.parametrize("kind", ["aggTrade", "trade", "", "contractInfo"])
def test_of_trades_the_sequencer_tells_and_of_what_is_no_channel_nobody(kind: str) -> None:
    assert Observed().refuse(kind) == []


def test_of_books_it_matters_only_when_they_come_into_step_or_fall_out_of_it() -> None:
    syncs = BookSyncs()
    views = [BookView("binance", "BTCUSDT", synced) for synced in (False, True, True, False, False)]
    found = syncs([("k", view) for view in views])
    assert found == [Unsynced("BTCUSDT", unsynced) for unsynced in (True, False, True)]
    assert syncs([("k", Removed("public", BTC, BOOKS, is_gone=True)), ("k", views[0])]) == [Unsynced("BTCUSDT", True)]
