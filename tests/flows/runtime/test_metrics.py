import socket
from pathlib import Path
from typing import ClassVar, get_args
from urllib.request import urlopen

import pytest

from flows.clock import FeedClock
from flows.model import Incident, IncidentKind, MarketData, Rejected, TradeBatch
from flows.runtime.metrics import FlowMetrics, Parts, VenueMetrics, serve
from flows.settings import Hub, Metrics
from sinks.alerts.outbox import Outbox
from sinks.alerts.writer import MOST_WAITING, AlertWriter
from sinks.hub.broadcast import HANDOFF_ITEMS, Broadcast
from sinks.hub.messages import CHANNELS
from sinks.ledger import IncidentWriter, RejectWriter
from sinks.trades.writer import TradeWriter
from tests.fakes.deployment import free_port
from tests.fakes.exposition import samples
from tests.fakes.trades import BEGIN, trade


class Waiting:
    def waiting(self) -> dict[str, int]:
        return {"00 market": 7}

    def lines(self) -> dict[str, bool]:
        return {"market": True, "public": False}


class Refused:
    bans = 3
    banned_for_s = 12.5
    used = 420
    limit = 1_200


class OnTheBus:
    failures = 2
    published: ClassVar = {"Trade": 30, "ChartUpdate": 4}
    waiting = 5
    capacity = 200
    outage = "away"


def told(metrics: FlowMetrics) -> dict[tuple[str, ...], float]:
    """What a request for it is answered."""
    port = free_port()
    serve(metrics, Metrics(port=port))
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        return samples(answer.read().decode())


def test_what_the_parts_have_counted_is_told(tmp_path: Path) -> None:
    ledger, rejects = IncidentWriter(), RejectWriter()
    ledger.write([Incident(kind, "binance", "BTCUSDT", 1, 2, "cause") for kind in ("gap", "gap", "repair", "late")])
    rejects.write([Rejected("binance", "no price", b"{}", 0)] * 3)
    trades = TradeWriter(tmp_path, venue="binance")
    trades.write([TradeBatch("binance", "BTCUSDT", [trade(1, 0), trade(2, 1)])])
    assert trades.flush()
    metrics = FlowMetrics()
    clock = FeedClock(lambda: 0)
    clock.observe(BEGIN)
    hub = Broadcast(
        Hub(port=0), origins={"binance": "replay"}, on_delay=metrics.observe_delay, clocks={"binance": clock}
    )
    hub.start()
    hub.write([MarketData("binance", "BTCUSDT", 100.0, BEGIN), MarketData("binance", "ETHUSDT", 10.0, BEGIN)])
    hub.close()
    alerts = AlertWriter(Outbox(tmp_path / "alerts"), webhook=None)
    metrics.follow(
        Parts(
            ledger, rejects, hub, None,
            [VenueMetrics(Waiting(), [trades], Refused(), clock, venue="binance", origin="replay", queue_frames=100)],
            folders={"trades": tmp_path / "later" / "trades"}, alerts=alerts, bus=OnTheBus(),
        )
    )  # fmt: skip
    values = told(metrics)
    trades.close()
    alerts.close()
    free, size = (values.pop((f"market_data_disk_{what}_bytes", "trades")) for what in ("free", "size"))
    assert 0 < free < size
    assert values.pop(("market_data_clock_offset_seconds", "replay", "binance")) < 0  # a replay of the past
    nothing_yet: dict[tuple[str, ...], float] = {
        **{("market_data_incidents_total", kind, "binance"): 0 for kind in get_args(IncidentKind)},
        **{("market_data_updates_total", channel): 0 for channel in CHANNELS},
    }
    assert {
        name: values[name] for name in values if not name[0].startswith("market_data_exchange_to")
    } == nothing_yet | {
        ("market_data_incidents_total", "gap", "binance"): 2,
        ("market_data_incidents_total", "repair", "binance"): 1,
        ("market_data_incidents_total", "late", "binance"): 1,
        ("market_data_gaps_total", "binance"): 2,
        ("market_data_repairs_total", "binance"): 1,
        ("market_data_mismatches_total", "binance"): 0,
        ("market_data_reconnections_total", "binance"): 0,
        ("market_data_errors_total", "binance"): 3,
        ("market_data_storage_writes_total", "trades", "rocksdb"): 2,
        ("market_data_storage_errors_total", "rocksdb"): 0,
        ("market_data_queue_depth", "frames 00 market", "binance"): 7,
        ("market_data_queue_depth", "hub", ""): 0,
        ("market_data_queue_depth", "rocksdb", ""): 0,
        ("market_data_queue_capacity", "frames 00 market", "binance"): 100,
        ("market_data_queue_capacity", "hub", ""): HANDOFF_ITEMS,
        ("market_data_queue_capacity", "rocksdb", ""): 1_000_000,
        ("market_data_queue_depth", "alerts", ""): 0,
        ("market_data_queue_capacity", "alerts", ""): MOST_WAITING,
        ("market_data_alerts_total", "fired"): 0,
        ("market_data_alerts_total", "delivered"): 0,
        ("market_data_store_up", "rocksdb"): 1,
        ("market_data_storage_writes_total", "messages", "bus"): 34,
        ("market_data_storage_errors_total", "bus"): 2,
        ("market_data_queue_depth", "bus", ""): 5,
        ("market_data_queue_capacity", "bus", ""): 200,
        ("market_data_store_up", "bus"): 0,
        ("market_data_line_up", "market", "binance"): 1,
        ("market_data_line_up", "public", "binance"): 0,
        ("market_data_clock_sure", "binance"): 1,
        ("market_data_rate_limited_total", "binance"): 3,
        ("market_data_banned_seconds", "binance"): 12.5,
        ("market_data_request_weight", "binance"): 420,
        ("market_data_request_weight_limit", "binance"): 1_200,
        ("market_data_updates_total", "MarketData"): 2,
        ("market_data_broadcast_clients",): 0,
        ("market_data_broadcast_sent_total",): 0,
        ("market_data_broadcast_dropped_total",): 0,
    }
    assert values["market_data_exchange_to_broadcast_seconds_bucket", "0.001", "binance"] == 1
    assert values["market_data_exchange_to_broadcast_seconds_count", "binance"] == 1


def test_a_port_that_is_taken_harms_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serve(FlowMetrics(), Metrics(port=port))
    line = capsys.readouterr().err
    assert "metrics_not_served" in line
    assert f"127.0.0.1:{port}" in line
    assert "set another metrics.port" in line
