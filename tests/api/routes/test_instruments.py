"""The catalogue, comparison between venues, and capabilities, with a real mongod and the hubs of two venues."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from yarl import URL

from api.mcp.client import Failure, RestClient
from api.mcp.tools import Tools
from flows.clock import FeedClock
from flows.model import Capability, ChannelStatus, FeedStatus, Heartbeat, InstrumentStatus, ListedInstrument, MarketData
from flows.settings import Hub, Settings
from flows.settings import Tools as ToolsSettings
from sinks.hub.broadcast import Broadcast
from sinks.mongo.commands import CommandConsumer
from sources.venues import VENUES
from tests.fakes.interface import LIVE, NOW, Deployment, Interface, interface, price, state, until

BINANCE = [
    ListedInstrument("binance", "BTCEUR", "TRADING", "BTC", "EUR", 2, 5),
    ListedInstrument("binance", "BTCUSDT", "TRADING", "BTC", "USDT", 2, 5),
    ListedInstrument("binance", "ETHUSDT", "BREAK", "ETH", "USDT", 2, 4),
]
KRAKEN = [
    ListedInstrument("kraken", "BTC-USD", "TRADING", "BTC", "USD", 1, 8),
    ListedInstrument("kraken", "BTC-USDT", "TRADING", "BTC", "USDT", 1, 8),
    ListedInstrument("kraken", "DOGE-USD", "CANCEL_ONLY", "DOGE", "USD", 7, 8),
]


def list_instruments(deployment: Deployment, *lists: list[ListedInstrument]) -> None:
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        for listed in lists:
            CommandConsumer(client[deployment.database]).publish_instruments(listed[0].venue, listed)


@pytest.fixture
def kraken() -> Iterator[Broadcast]:
    clock = FeedClock()
    clock.set_to(NOW)
    hub = Broadcast(Hub(port=0), origins={"kraken": "replay"}, clocks={"kraken": clock})
    hub.start()
    yield hub
    hub.close()


@pytest.fixture
async def served(deployment: Deployment, kraken: Broadcast) -> AsyncIterator[Interface]:
    """Both venues have prices; that of `BTC-USDT` at the second one has been stale for long."""
    list_instruments(deployment, BINANCE, KRAKEN)
    deployment.start_hub()
    deployment.tell(LIVE, price(100.0), state("live"))
    kraken.write(
        [
            FeedStatus("kraken", "market", "live", ("BTC-USD", "BTC-USDT")),
            *(MarketData("kraken", name, value, NOW, None, None, None) for name, value in PRICES.items()),
            InstrumentStatus("kraken", "BTC-USD", "live", NOW, "", (ChannelStatus("trades", "live", NOW, ""),)),
            InstrumentStatus("kraken", "BTC-USDT", "cut", NOW, "gone", (ChannelStatus("trades", "cut", NOW, "gone"),)),
            Heartbeat("kraken", NOW, is_sure=True),
        ]
    )
    urls = (f"ws://127.0.0.1:{deployment.broadcast.port}/ws", f"ws://127.0.0.1:{kraken.port}/ws")  # type: ignore[union-attr]
    async with interface(deployment, hub_urls=urls) as running:
        live = running.services.live
        await until(lambda: live.symbols("kraken") == set(PRICES) and live.price("BTCUSDT") == 100.0)
        await until(lambda: all(live.price(name, "kraken") for name in PRICES))
        yield running


PRICES = {"BTC-USD": 101.5, "BTC-USDT": 99.0}


async def test_the_same_market_is_found_on_all_venues(served: Interface) -> None:
    async def names(**query: str) -> list[tuple[str, str, bool]]:
        found = await served.data(str(URL("/api/instruments").with_query(query)))
        assert (found["found"], found["without_list"]) == (len(found["instruments"]), [])
        return [(one["venue"], one["symbol"], one["followed"]) for one in found["instruments"]]

    assert await names(base="xbt", quote="usdt") == [("binance", "BTCUSDT", True), ("kraken", "BTC-USDT", True)]
    assert await names(base="BTC", venue="kraken") == [("kraken", "BTC-USD", True), ("kraken", "BTC-USDT", True)]
    assert await names(status="break") == [("binance", "ETHUSDT", True)]
    assert await names(base="SOL") == []
    assert await names(symbol="btc-usdt") == [("binance", "BTCUSDT", True), ("kraken", "BTC-USDT", True)]
    assert await names(symbol="BTCUSDT", venue="kraken") == [("kraken", "BTC-USDT", True)]
    assert len(await names()) == len(BINANCE) + len(KRAKEN)


async def test_an_instrument_is_told_as_its_venue_lists_it(served: Interface) -> None:
    found = await served.data("/api/instruments?base=XDG&limit=1")
    assert found["instruments"] == [
        {
            "venue": "kraken",
            "symbol": "DOGE-USD",
            "status": "CANCEL_ONLY",
            "base": "DOGE",
            "quote": "USD",
            "price_decimals": 7,
            "quantity_decimals": 8,
            "followed": False,
        }
    ]
    many = await served.data("/api/instruments?limit=2")
    assert (many["found"], len(many["instruments"])) == (6, 2)


@pytest.mark.parametrize("query", ["base=A%20B", "venue=nowhere", "limit=0", "status=%3Cb%3E"])
async def test_what_can_be_no_filter_is_refused(served: Interface, query: str) -> None:
    assert await served.error(f"/api/instruments?{query}") in {(400, "bad_request"), (404, "unknown_venue")}


async def test_any_spelling_is_answered_by_the_venues_own_name(served: Interface) -> None:
    for spelling in ("btcusdt", "BTC/USDT", "btc-usdt", "BTC_USDT", "xbt/usdt"):
        for venue, own in (("binance", "BTCUSDT"), ("kraken", "BTC-USDT")):
            path = URL.build(path="/api/prices").joinpath(spelling.replace("/", "%2F"), encoded=True)
            found = await served.data(f"{path}?venue={venue}")
            assert (found["venue"], found["symbol"]) == (venue, own), spelling
            [row] = await served.data(f"/api/prices?symbols={spelling}&venue={venue}")
            assert row["symbol"] == own
    ticks = await served.data("/api/ticks?symbols=xbt_usdt")
    assert [(one["venue"], one["symbol"]) for one in ticks] == [("binance", "BTCUSDT"), ("kraken", "BTC-USDT")]
    assert await served.error("/api/prices/btc%2Fgbp?venue=kraken") == (404, "unknown_symbol")


async def test_a_spelling_is_followed_by_the_venues_own_name(served: Interface) -> None:
    status, answer = await served.ask("POST", "/api/symbols", json={"symbol": "xdg/usd", "venue": "kraken"})
    assert (status, answer["data"]["symbol"]) == (202, "DOGE-USD")
    status, answer = await served.ask("POST", "/api/subscribe", json={"symbols": ["eth/usdt", "ETH_USDT"]})
    assert [one["symbol"] for one in answer["data"]] == ["ETHUSDT"]
    status, answer = await served.ask("DELETE", "/api/symbols/xdg%2Fusd?venue=kraken")
    assert (answer["data"]["symbol"], answer["data"]["wanted"]) == ("DOGE-USD", False)


async def test_the_followed_symbols_of_all_venues_are_listed(served: Interface) -> None:
    async def names(query: str) -> list[tuple[str, str]]:
        return [(one["venue"], one["symbol"]) for one in await served.data(f"/api/symbols{query}") if one["followed"]]

    own = [("binance", "BTCUSDT"), ("binance", "ETHUSDT")]
    assert await names("") == [*own, ("kraken", "BTC-USD"), ("kraken", "BTC-USDT")]
    assert await names("?venue=kraken") == [("kraken", "BTC-USD"), ("kraken", "BTC-USDT")]


async def test_agents_name_the_venue_of_a_symbol_that_several_have(served: Interface) -> None:
    async with RestClient(Settings(tools=ToolsSettings(api_url=served.url))) as client:
        tools = Tools(client, rows=100)
        with pytest.raises(Failure) as refused:
            await tools.get_current_price("XBT/USDT")
        replies = [await tools.get_current_price("BTC/USDT", venue) for venue in ("binance", "kraken")]
        quality = await tools.get_data_quality("BTC/USDT", "kraken")
    assert refused.value.code == "ambiguous_symbol"
    found = [(one["data"]["venue"], one["data"]["symbol"], one["data"]["price"]) for one in replies]
    assert found == [("binance", "BTCUSDT", 100.0), ("kraken", "BTC-USDT", 99.0)]
    assert quality["data"]["venue"] == "kraken"


async def test_prices_are_compared_within_a_quote_and_only_what_is_of_now(
    served: Interface, kraken: Broadcast, deployment: Deployment
) -> None:
    def beat() -> None:
        deployment.beat()
        kraken.write([Heartbeat("kraken", NOW, is_sure=True)])

    beat()
    found = await served.data("/api/compare/xbt")
    assert found["base"] == "BTC"
    assert [
        (one["quote"], [(row["venue"], row["symbol"], row["price"]) for row in one["prices"]])
        for one in found["quotes"]
    ] == [
        ("USD", [("kraken", "BTC-USD", 101.5)]),
        ("USDT", [("binance", "BTCUSDT", 100.0), ("kraken", "BTC-USDT", 99.0)]),
    ]
    assert [one["spread"] for one in found["quotes"]] == [None, None]
    stale = found["quotes"][1]["prices"][1]
    assert (stale["state"], stale["stale"]) == ("cut", True)
    kraken.write(
        [
            InstrumentStatus("kraken", "BTC-USDT", "live", NOW, "", (ChannelStatus("trades", "live", NOW, ""),)),
            MarketData("kraken", "BTC-USDT", 99.9, NOW, None, None, None),
        ]
    )

    async def has_spread() -> bool:
        beat()
        usdt = (await served.data("/api/compare/BTC"))["quotes"][1]
        return (usdt["spread"], usdt["spread_percent"]) == (0.1, 0.1001)  # 0.09999999999999432 by itself

    await until(has_spread)


async def test_a_base_that_no_venue_lists_or_that_has_no_price(served: Interface) -> None:
    assert await served.error("/api/compare/BTCC") == (404, "unknown_symbol")
    assert await served.error("/api/compare/ETH") == (404, "no_data")
    assert await served.error("/api/compare/%3Cb%3E") == (400, "bad_request")


async def test_agents_find_and_compare(served: Interface) -> None:
    async with RestClient(Settings(tools=ToolsSettings(api_url=served.url))) as rest:
        tools = Tools(rest, rows=3)
        reply = await tools.find_instruments(base="btc", quote="")
        assert [one["symbol"] for one in reply["data"]["instruments"]] == ["BTCEUR", "BTCUSDT", "BTC-USD"]
        assert reply["completeness"] == {"found": 4, "shown": 3, "venues_without_list": []}
        reply = await tools.compare_prices("xbt")
        assert [one["quote"] for one in reply["data"]["quotes"]] == ["USD", "USDT"]
        with pytest.raises(Failure, match="no instrument of NOPE is listed at binance, kraken"):
            await tools.compare_prices("NOPE")


async def test_capabilities_are_those_that_the_venues_folders_state(deployment: Deployment) -> None:
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        consumer = CommandConsumer(client[deployment.database])
        for _ in range(2):  # a repetition changes nothing
            for venue in VENUES.values():
                consumer.publish_capabilities(venue.name, venue.capabilities)
    async with interface(deployment) as running:
        found = await running.data("/api/quality/capabilities")
        assert [one["venue"] for one in found] == sorted(VENUES)
        by_kind = {(one["venue"], row["kind"]): row for one in found for row in one["capabilities"]}
        assert (
            "A Kraken book below level 10 is not covered by the checksum." in by_kind["kraken", "book"]["blind_spots"]
        )
        assert "heartbeat" in by_kind["coinbase", "trades"]["witness"]
        [one] = await running.data("/api/quality/capabilities?venue=binance")
        assert one["venue"] == "binance"
        assert await running.error("/api/quality/capabilities?venue=nowhere") == (404, "unknown_venue")
        async with RestClient(Settings(tools=ToolsSettings(api_url=running.url))) as rest:
            reply = await Tools(rest, rows=3).get_capabilities("binance")
            assert reply["data"] == [one]


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_every_venue_says_what_is_proven_by_what_and_what_is_not(venue: str) -> None:
    capabilities = VENUES[venue].capabilities
    kinds = [one.kind for one in capabilities]
    assert kinds[:5] == ["trades", "candles", "book", "best", "ticker"]
    assert len(kinds) == len(set(kinds))
    for one in capabilities:
        assert bool(one.proven) == bool(one.witness), one  # nothing is proven without a witness
        assert one.proven or one.blind_spots, one
        assert all(text.endswith(".") for text in one.blind_spots)
    assert Capability in {type(one) for one in capabilities}
