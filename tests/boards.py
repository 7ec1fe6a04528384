"""Grafana's boards in deploy/observation/grafana/boards, made from the lists below: `python -m tests.boards`."""

import json
from typing import Any, NamedTuple

from tests.marked import ROOT

FOLDER = ROOT / "deploy" / "observation" / "grafana" / "boards"
WIDTH, HEIGHT = 12, 8
"""Of a panel; a row of Grafana's grid is 24 wide."""


class Panel(NamedTuple):
    """A graph: what it shows, in which unit of Grafana's, and an expression for each legend."""

    title: str
    unit: str
    lines: dict[str, str]
    text: str = ""


VENUES = "label_values(market_data_line_up, venue)"
"""What the boards' variable `venue` can be: one, several or all."""
_LATENCY = 'sum by (venue, le) (rate(market_data_exchange_to_broadcast_seconds_bucket{job="%s", venue=~"$venue"}[1m]))'

BOARDS: dict[str, list[Panel]] = {
    "Data flow": [
        Panel(
            "Messages of the hub",
            "ops",
            {"{{channel}}": 'sum by (channel) (rate(market_data_updates_total{job="flow"}[1m]))'},
        ),
        Panel(
            "From the exchange to the broadcast",
            "s",
            {
                "{{venue}}, half": f"histogram_quantile(0.5, {_LATENCY % 'flow'})",
                "{{venue}}, 99 of 100": f"histogram_quantile(0.99, {_LATENCY % 'flow'})",
                "{{venue}}, 99 of 100, as the API sees it": f"histogram_quantile(0.99, {_LATENCY % 'api'})",
            },
        ),
        Panel("Clients of the broadcast", "short", {"clients": "market_data_broadcast_clients"}),
        Panel(
            "Lost by slow clients",
            "ops",
            {
                "clients": "rate(market_data_broadcast_dropped_total[5m])",
                "the API": "rate(market_data_live_lost_total[5m])",
            },
        ),
        Panel(
            "Bounded queues",
            "percentunit",
            {"{{venue}} {{queue}}": 'market_data_queue_depth{venue=~"$venue|"} / market_data_queue_capacity'},
            "How much of its room is taken; at 90 % there is an alert.",
        ),
        Panel(
            "Answers of the API",
            "ops",
            {"{{status}}": "sum by (status) (rate(market_data_api_answers_total[1m]))"},
        ),
        Panel(
            "Time to answer, 99 of 100",
            "s",
            {"{{route}}": "histogram_quantile(0.99, sum by (route, le) (rate(market_data_api_seconds_bucket[5m])))"},
        ),
        Panel(
            "Ready",
            "bool",
            {"ready": "market_data_ready", "flow of {{venue}} alive": 'market_data_flow_alive{venue=~"$venue"}'},
        ),
    ],
    "Stores": [
        Panel("Takes writes", "bool", {"{{store}}": "market_data_store_up"}),
        Panel("Writes", "ops", {"{{store}} {{kind}}": "rate(market_data_storage_writes_total[1m])"}),
        Panel("Failed writes", "ops", {"{{store}}": "rate(market_data_storage_errors_total[1m])"}),
        Panel("Not stored yet", "short", {"{{queue}}": 'market_data_queue_depth{queue=~"mongodb|rocksdb"}'}),
        Panel(
            "Free on the disk",
            "percentunit",
            {"{{folder}}": "market_data_disk_free_bytes / market_data_disk_size_bytes"},
        ),
        Panel("Free on the disk", "bytes", {"{{folder}}": "market_data_disk_free_bytes"}),
        Panel("Candles in the API's memory", "short", {"candles": "market_data_cache_size"}),
        Panel(
            "Reads of candles",
            "ops",
            {
                "from memory": "rate(market_data_cache_hits_total[1m])",
                "from the store": "rate(market_data_cache_misses_total[1m])",
            },
        ),
    ],
    "Lines": [
        Panel("Lines that are up", "bool", {"{{venue}} {{line}}": 'market_data_line_up{venue=~"$venue"}'}),
        Panel(
            "Reconnects within an hour",
            "short",
            {
                "to {{venue}}": 'increase(market_data_reconnections_total{job="flow", venue=~"$venue"}[1h])',
                "of the API to {{url}}": 'increase(market_data_reconnections_total{job="api"}[1h])',
            },
        ),
        Panel(
            "Frames that wait for the flow",
            "short",
            {"{{venue}} {{queue}}": 'market_data_queue_depth{queue=~"frames.*", venue=~"$venue"}'},
        ),
        Panel(
            "Instruments by state",
            "short",
            {
                "{{venue}} {{state}}": "count by (venue, state) ("
                'max by (venue, symbol, state) (market_data_instrument_state{venue=~"$venue"}))'
            },
        ),
        Panel(
            "Channels that are not current",
            "short",
            {"{{venue}} {{channel}} {{state}}": 'market_data_channels{state!~"live|quiet", venue=~"$venue"}'},
        ),
        Panel(
            "Clock",
            "s",
            {"{{venue}} less ours": 'market_data_clock_offset_seconds{origin=~"live|testnet", venue=~"$venue"}'},
            "Nothing is shown for a replay, whose time is another by design.",
        ),
        Panel(
            "Requests refused for their number",
            "short",
            {
                "{{venue}}: refused within 5 minutes": 'increase(market_data_rate_limited_total{venue=~"$venue"}[5m])',
                "{{venue}}: seconds until some are taken": 'market_data_banned_seconds{venue=~"$venue"}',
            },
        ),
        Panel("Hubs of the API", "bool", {"{{url}}": "market_data_hub_up"}),
    ],
    "Quality": [
        Panel(
            "Gaps and repairs within an hour",
            "short",
            {
                "{{venue}}: not filled in time": 'increase(market_data_gaps_total{venue=~"$venue"}[1h])',
                "{{venue}}: filled": 'increase(market_data_repairs_total{venue=~"$venue"}[1h])',
            },
        ),
        Panel(
            "Differences from the exchange's, within an hour",
            "short",
            {"{{venue}}": 'increase(market_data_mismatches_total{venue=~"$venue"}[1h])'},
        ),
        Panel(
            "Refused messages",
            "ops",
            {"{{venue}}": 'rate(market_data_errors_total{job="flow", venue=~"$venue"}[5m])'},
        ),
        Panel(
            "Incidents within an hour",
            "short",
            {"{{venue}} {{kind}}": 'increase(market_data_incidents_total{job="flow", venue=~"$venue"}[1h])'},
        ),
        Panel("Overdue candles", "s", {"{{venue}} {{symbol}}": 'market_data_candle_late_seconds{venue=~"$venue"}'}),
        Panel(
            "Stored trades as a share of all",
            "percentunit",
            {"{{venue}} {{symbol}}": 'market_data_completeness{venue=~"$venue"}'},
        ),
        Panel(
            "Books that are not in sync",
            "short",
            {"{{venue}}": 'market_data_channels{channel="book", state="unsynced", venue=~"$venue"}'},
        ),
        Panel("The exchange's time is known", "bool", {"{{venue}}": 'market_data_clock_sure{venue=~"$venue"}'}),
    ],
}


def boards() -> dict[str, str]:
    """The text of each file by its name."""
    return {f"{_slug(title)}.json": json.dumps(_board(title), indent=1) + "\n" for title in BOARDS}


def expressions() -> list[str]:
    """Every expression of every board."""
    return [line for panels in BOARDS.values() for panel in panels for line in panel.lines.values()]


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")


def _board(title: str) -> dict[str, Any]:
    return {
        "uid": f"marketflow-{_slug(title)}",
        "title": f"marketflow: {title.lower()}",
        "tags": ["marketflow"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_venue_variable()]} if _is_by_venue(BOARDS[title]) else {"list": []},
        "panels": [_panel(number, panel) for number, panel in enumerate(BOARDS[title])],
    }


def _is_by_venue(panels: list[Panel]) -> bool:
    return any("$venue" in line for panel in panels for line in panel.lines.values())


def _venue_variable() -> dict[str, Any]:
    """Which venues a board shows; all of them at first."""
    return {
        "name": "venue",
        "label": "venue",
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "query": {"query": VENUES, "refId": "venue"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.text,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(panel.lines.items())
        ],
    }


def main() -> None:
    """Writes the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in boards().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
