"""24-hour statistics: what the flow counts from trades and klines is what the exchange says itself, in every field.

The two windows differ in one thing: ours begins with a whole minute, 1,440 before the running one. So does that of
USD-M; that of spot begins in the middle of this minute, and the synthetic exchange, which remembers no more of that day
than its minutes, counts none of it. Two figures are printed with less than we know: the change in percent with three
decimals, and the average price, which is cut off behind its last one.
"""

from pathlib import Path
from typing import Any

import pytest

from flows.model import DAY_MS, Kline
from flows.operators.candles.compare import is_same
from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.market.market import MarketKind
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.deployment import HubClient, flow_settings, hub_client, running_flow
from tests.fakes.witness import Witness

pytestmark = pytest.mark.e2e

SYMBOL = "BTCUSDT"
MINUTE_MS = 60_000
BEGIN_MS = 1_767_225_645_000
"""In the middle of a minute."""
MOMENTS = 12
"""Moments that are compared, of two minutes at least."""
PERCENT_UNIT = 0.001

Moment = tuple[int, int]
"""Open time of our window and trades in it, which only rise while that stands: both sides speak of the same trades."""


def since_of(ticker: dict[str, Any]) -> int:
    """Open time of the window that was ours when the exchange said this."""
    now_ms: int = ticker["timestamp"]
    return now_ms - now_ms % MINUTE_MS - DAY_MS


class Pairs:
    """Reads what the hub tells until both sides have spoken of enough moments. `uncounted` are the minutes, by open
    time, that begin our window and are not in the exchange's.
    """

    def __init__(self, uncounted: dict[int, Kline]) -> None:
        self.uncounted = uncounted
        self.theirs: dict[Moment, dict[str, Any]] = {}
        self.ours: dict[Moment, dict[str, Any]] = {}

    def take(self, message: dict[str, Any]) -> bool:
        """True when there are enough."""
        kind, data = message["type"], message["data"]
        if kind == "Ticker":
            since = since_of(data)
            trades = self.uncounted[since].trades if since in self.uncounted else 0
            self.theirs[since, data["trades"] + trades] = data
        elif kind == "Stats" and data["complete"]:
            self.ours[data["open_time"], data["trades"]] = data
        minutes = {since for since, _ in self.moments}
        return len(self.moments) >= MOMENTS and len(minutes) > 1

    @property
    def moments(self) -> list[Moment]:
        """Those of which both sides have spoken."""
        return sorted(self.theirs.keys() & self.ours.keys())


def assert_equal(
    ours: dict[str, Any], theirs: dict[str, Any], uncounted: Kline | None, following: Kline | None, unit: float
) -> None:
    """Every field, with what the exchange does not count taken away from ours; its window opens with the minute that
    follows.
    """
    assert ours["last"] == theirs["last_price"]
    if uncounted is None or following is None:
        assert (ours["open"], ours["high"], ours["low"]) == (theirs["open"], theirs["high"], theirs["low"])
        assert is_same(ours["change"], theirs["price_change"])
        assert abs(ours["change_percent"] - theirs["price_change_percent"]) <= PERCENT_UNIT / 2 + 1e-9
        assert theirs["weighted_average"] <= ours["weighted_average"] + 1e-9 < theirs["weighted_average"] + unit
    else:
        assert ours["open"] == uncounted.open
        assert theirs["open"] == following.open
        assert ours["high"] == max(theirs["high"], uncounted.high)
        assert ours["low"] == min(theirs["low"], uncounted.low)
    for name in ("volume", "quote_volume"):
        assert is_same(ours[name], theirs[name] + (getattr(uncounted, name) if uncounted else 0.0)), name


@pytest.mark.parametrize(("kind", "venue"), [("usdm", "binance-usdm"), ("spot", "binance")])
async def test_they_equal_the_exchanges_own(kind: MarketKind, venue: str, mongod_uri: str, tmp_path: Path) -> None:
    market = SyntheticMarket(kind, (SYMBOL,), seed=5, start_ms=BEGIN_MS, trades_per_s=1.0)
    with exchange_in_thread(market, speed=4.0, paused=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__venue=venue,
            feed__origin="synthetic",
            feed__symbols=[SYMBOL],
            feed__timeframes=["1m"],
            feed__streams=["aggTrade", "kline", "ticker"],
        )  # fmt: skip
        pairs = Pairs(first_minutes(exchange.rest_url) if kind == "spot" else {})
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Ticker", "Stats", "Incident", "Status")
            await client.until_live(lines=1)
            exchange.resume()
            await client.until(pairs.take)
            assert await flow.stop() == 0, flow.said()
    for moment in pairs.moments:
        uncounted, following = (pairs.uncounted.get(moment[0] + after) for after in (0, MINUTE_MS))
        unit = 10.0 ** -(8 if kind == "spot" else 2)
        assert_equal(pairs.ours[moment], pairs.theirs[moment], uncounted, following, unit)
    assert mismatches(client) == []


def first_minutes(rest_url: str) -> dict[int, Kline]:
    """The minutes in which windows begin that are of now and later."""
    witness = Witness(rest_url)
    try:
        begin_ms = BEGIN_MS - BEGIN_MS % MINUTE_MS - DAY_MS
        return {kline.open_time: kline for kline in witness.klines(SYMBOL, "1m", begin_ms)}
    finally:
        witness.close()


def mismatches(client: HubClient) -> list[dict[str, Any]]:
    """What the flow itself found to differ."""
    return [incident for incident in client.of_type("Incident") if incident["kind"] == "mismatch"]
