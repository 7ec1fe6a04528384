"""What of all that passes says how current the data is."""

from typing import Any

from flows.model import BookView, Disconnected, Flush, Removed
from flows.operators.parse import Batch, InstrumentEvent
from flows.operators.status.observations import PROGRESS_MS, BookSyncs, Observe, Progress, Unsynced
from tests.fakes.trades import trade

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


def test_of_books_it_matters_only_when_they_come_into_step_or_fall_out_of_it() -> None:
    syncs = BookSyncs()
    views = [BookView("binance", "BTCUSDT", synced) for synced in (False, True, True, False, False)]
    found = syncs([("k", view) for view in views])
    assert found == [Unsynced("BTCUSDT", unsynced) for unsynced in (True, False, True)]
    assert syncs([("k", Removed("public", BTC, BOOKS, is_gone=True)), ("k", views[0])]) == [Unsynced("BTCUSDT", True)]
