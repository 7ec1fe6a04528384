from collections.abc import Iterator, Sequence
from typing import Any

from bytewax.dataflow import Dataflow, Operator
from bytewax.testing import TestingSink, TestingSource

from flows.graph import Sinks, market_flow
from flows.machine import refuse_queries
from flows.model import Trade, TradeBatch
from flows.settings import Feed
from flows.steps import pack, trades_by_instrument
from sources.binance.parse import BinanceParser


def flow_into(*names: str, **parts: Any) -> Dataflow:
    """The flow with these sinks only."""
    return market_flow(
        source=TestingSource([]),
        parser=BinanceParser("binance"),
        feed=Feed(),
        sinks=Sinks(**{name: TestingSink[Any]([]) for name in names}),
        **parts,
    )


def steps_of(flow: Dataflow) -> list[str]:
    return [step.step_name for step in flow.substeps]


def inner_steps(steps: Sequence[Operator]) -> Iterator[str]:
    for step in steps:
        yield step.step_id.removeprefix("marketflow.")
        yield from inner_steps(step.substeps)


ALL = Sinks.__struct_fields__


def test_the_price_is_broadcast_before_any_other_step_runs() -> None:
    assert steps_of(flow_into(*ALL))[:5] == ["source", "parse", "validate", "prices", "hub_prices"]


def test_a_bus_gets_what_the_hub_gets_and_without_one_there_is_no_step_for_it() -> None:
    def sources_of(*names: str) -> set[str]:
        steps: dict[str, Any] = {one.step_name: one for one in flow_into(*ALL, runner=refuse_queries).substeps}
        return {stream for name in names for stream in steps[name].streams.stream_ids.values()}

    assert sources_of("bus") == sources_of("hub_prices", "hub")
    assert steps_of(flow_into(*ALL, runner=refuse_queries))[-3:] == ["hub", "bus", "kafka"]
    assert "bus" not in steps_of(flow_into(*(name for name in ALL if name != "bus"), runner=refuse_queries))


def test_without_a_sink_its_branch_is_left_out_and_whatever_leads_there_alone() -> None:
    stored = flow_into("candles", runner=refuse_queries)
    assert steps_of(stored) == ["source", "parse", "validate", "candles", "feed_status", "stats_24h", "mongodb"]
    inner = set(inner_steps(stored.substeps))
    assert {"candles.candles", "candles.corrections", "candles.minutes", "feed_status.tickers"} <= inner
    assert not {"candles.restored", "candles.requests", "feed_status.rejected"} & inner


def test_without_a_runner_there_are_no_books_and_no_statistics() -> None:
    without, queried = steps_of(flow_into(*ALL)), steps_of(flow_into(*ALL, runner=refuse_queries))
    assert set(queried) - set(without) == {"order_books", "stats_24h"}
    assert "candles.minutes" not in inner_steps(flow_into(*ALL).substeps)


def test_with_all_sinks_nothing_is_left_out() -> None:
    inner = set(inner_steps(flow_into(*ALL, runner=refuse_queries).substeps))
    assert {"candles.restored", "candles.witnesses", "order_books.synced", "stats_24h.per_minute"} <= inner


def test_an_empty_batch_is_packed_into_nothing() -> None:
    assert pack("hub", [1, 2]) == [("hub", [1, 2])]
    assert pack("hub", []) == []


def test_trades_go_to_the_partition_of_their_instrument() -> None:
    batch = TradeBatch("binance", "BTCUSDT", [Trade("BTCUSDT", 1, 5, 2.0, 3.0, buyer_is_maker=False, event_time=5)])
    assert trades_by_instrument([batch]) == [("binance:BTCUSDT", [batch])]
