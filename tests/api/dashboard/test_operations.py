"""The page of operations in its own scripts: metrics as text, rates of counters, quantiles of histograms, charts."""

import json
import math
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from tests.fakes.node import printed

SAMPLES = """
const { samplesOf, sumsBy } = await import(process.argv[1]);
const found = samplesOf(process.argv[2]);
const sums = JSON.parse(process.argv[3]).map(([name, ...labels]) => [...sumsBy(found.get(name), ...labels)]);
console.log(JSON.stringify([[...found.keys()], sums]));
"""


def test_what_the_official_client_writes_is_read() -> None:
    registry = CollectorRegistry()
    odd = 'a "quoted" \\ one,\nof {two} lines'
    updates = Counter("updates", "with # and {", ["venue", "channel"], registry=registry)
    for venue, channel, count in (("b", "Trade", 3), ("b", "Candle", 2), (odd, "Trade", 1.5)):
        updates.labels(venue, channel).inc(count)
    Gauge("plain", "", registry=registry).set(math.inf)
    wanted = [["updates_total", "venue"], ["updates_total", "channel"], ["plain"], ["none", "venue"]]
    names, sums = json.loads(
        printed(SAMPLES, "operations/exposition.js", generate_latest(registry).decode(), json.dumps(wanted))
    )
    assert {"updates_total", "plain"} <= set(names)
    assert sums[0] == [["b", 5], [odd, 1.5]]
    assert sums[1] == [["Trade", 4.5], ["Candle", 2]]
    assert sums[2] == [["", None]], "infinity has no JSON"
    assert sums[3] == []


QUANTILES = """
const { quantileOf } = await import(process.argv[1]);
const [buckets, before, shares] = JSON.parse(process.argv[2]);
const numbers = (all) => all.map(([bound, count]) => [bound ?? Infinity, count]);
console.log(JSON.stringify(shares.map((share) => quantileOf(numbers(buckets), new Map(numbers(before)), share))));
"""


def test_quantiles_are_of_what_came_since_the_last_look() -> None:
    def found(*of: Any) -> Any:
        return json.loads(printed(QUANTILES, "operations/exposition.js", json.dumps(of)))

    buckets = [[0.1, 10], [0.2, 20], [1, 20], [None, 24]]
    assert found(buckets, [], [0.25, 0.5, 0.99]) == pytest.approx([0.06, 0.12, 1])
    assert found(buckets, [[0.1, 10], [0.2, 10], [1, 10], [None, 10]], [0.5]) == pytest.approx([0.17])
    assert found(buckets, buckets, [0.5]) == [None]
    assert found([], [], [0.5]) == [None]


SERIES = """
const { KEPT, pathOf, Series } = await import(process.argv[1]);
const series = new Series();
const rates = JSON.parse(process.argv[2]).map(([value, seconds]) => series.rate("x", value, seconds));
for (let number = 0; number < 2 * KEPT; number++) series.take("long", number);
const values = series.of("long");
series.keep(new Set(["long"]));
const path = pathOf([1, null, NaN, 2, 4], { width: 179, height: 20, most: 4 });
console.log(JSON.stringify([rates, values.length === KEPT, values[0] === KEPT, series.of("x"), path]));
"""


def test_a_counter_has_a_rate_and_what_is_kept_has_a_bound() -> None:
    looks = [[5, 0], [15, 5], [15, 10], [3, 15], [6, 18]]
    rates, *kept, others, path = json.loads(printed(SERIES, "operations/series.js", json.dumps(looks)))
    assert rates == [None, 2, 0, None, 1]
    assert kept == [True, True]
    assert others == []
    assert path == "M175 15M178 10L179 0"
