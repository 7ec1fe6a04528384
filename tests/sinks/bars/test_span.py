"""What a span knows of the trades before it."""

from pathlib import Path

import pytest

from flows.model import Trade, TradeBatch
from sinks.bars.rule import rule_of
from sinks.bars.span import SpanBars, TradeSpan
from sinks.trades.merge import add_batches
from sinks.trades.reader import TradeView
from sinks.trades.store import TradeStore
from tests.fakes.trades import BEGIN, trade

START = BEGIN + 60_000
FUND = Trade("BTCUSDT", 4, BEGIN + 59_000, 0.0, 1.0, False, BEGIN, "INSURANCE_FUND")


@pytest.mark.parametrize(
    ("before", "last", "flat"),
    [
        ([trade(3, 50_000, 9.0), FUND], 4, 1),
        ([trade(3, 59_500, 8.0), trade(4, 58_000, 9.0)], 4, 1),
        ([trade(2, 50_000, 9.0), FUND], 4, 0),
    ],
    ids=["a fill that is not on the market", "a time that runs back", "a trade is missing"],
)
def test_the_highest_id_before_a_span_and_the_last_price_on_the_market(
    tmp_path: Path, before: list[Trade], last: int, flat: int
) -> None:
    with TradeStore(tmp_path / "binance" / "part-00") as store:
        add_batches(store, [TradeBatch("binance", "BTCUSDT", [*before, trade(last + 1, 125_000, 7.0)])])
        view = TradeView([store])
        span = TradeSpan(view, "BTCUSDT", START, START + 120_000)
        frames = list(span.frames())
        assert (len(frames), span.missing.gaps) == (1, []), "nothing lacks between the span and what was before"
        bars = SpanBars(view, "BTCUSDT", rule_of("time", "1m"), START, START + 120_000)
        rows = [row for part in bars for row in part]
    assert [(row[0], row[2], row[8]) for row in rows] == [(START, 9.0, 0)] * flat + [(START + 60_000, 7.0, 1)]
