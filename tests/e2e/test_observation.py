"""Every metric that rules and boards name is found where they look for it, in a running flow and API."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.tape.tapes import load_tapes
from tests import boards
from tests.fakes.deployment import flow_settings, free_port, hub_client, running_flow, running_interface
from tests.fakes.recordings import recording
from tests.marked import ROOT

pytestmark = pytest.mark.e2e
PATIENCE_S = 60
RULES = ROOT / "deploy" / "observation" / "prometheus" / "rules.yml"
_SELECTOR = re.compile(r"\b(market_data_\w+)(?:\{([^}]*)\})?")
_LABEL = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')
_TYPES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def expressions() -> list[str]:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    return [rule["expr"] for rule in rules] + boards.expressions()


def scraped(text: str) -> dict[str, set[str]]:
    """The labels of each metric; none where it has no sample yet."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for ending in _TYPES[family.type]:
            found.setdefault(f"{family.name}{ending}", set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_rules_and_boards_name_what_is_measured(mongod_uri: str, tmp_path: Path) -> None:
    folder, port = recording("binance-spot-2024-08-08"), free_port()
    with exchange_in_thread(load_tapes([folder], kind="spot"), speed="max", paused=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__symbols=["BTCUSDT"], metrics__enabled=True, metrics__port=port,
        )  # fmt: skip
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Status")
            await client.until_live(lines=2)
            api = settings | {"api__hub_urls": [flow.hub_url]}
            async with running_interface(tmp_path, **api) as interface, httpx.AsyncClient(timeout=60) as http:
                exchange.resume()

                async def scrape(url: str, *wanted: str) -> dict[str, set[str]]:
                    """Waits until each of these metrics has a sample."""
                    async with asyncio.timeout(PATIENCE_S):
                        while True:
                            found = scraped((await http.get(f"{url}/metrics")).raise_for_status().text)
                            if all(found.get(name) for name in wanted):
                                return found
                            await asyncio.sleep(0.1)

                jobs = {
                    "api": await scrape(
                        interface.url, "market_data_channels", "market_data_exchange_to_broadcast_seconds_bucket"
                    ),
                    "flow": await scrape(f"http://127.0.0.1:{port}", "market_data_clock_offset_seconds"),
                }
            assert await flow.stop() == 0, flow.said()
    for expression in expressions():
        for name, inside in _SELECTOR.findall(expression):
            labels = dict(_LABEL.findall(inside))
            job = labels.pop("job", None)
            holders = [found for each, found in jobs.items() if name in found and job in (None, each)]
            assert holders, f"{name} of {expression} is measured nowhere"
            known = set().union(*(found[name] for found in holders)) or {"venue"}  # no candle is overdue here
            assert labels.keys() <= known, (name, labels, known)
