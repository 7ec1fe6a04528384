"""Known and unknown names, with a real mongod."""

from collections.abc import AsyncIterator

import pytest

from api.http.errors import Problem
from api.live.view import LiveView
from api.stores import instruments as catalogue_module
from api.stores.instruments import Instruments
from api.stores.mongo import MongoStore
from flows.model import Instrument
from flows.settings import Feed
from tests.fakes.interface import LIVE, Deployment, stored_candles, until

LONG_MS = 1_000_000_000
FEED = Feed(symbols=("BTCUSDT",))


@pytest.fixture
async def mongo(deployment: Deployment) -> AsyncIterator[MongoStore]:
    """A store that was not checked yet."""
    made = MongoStore(deployment.settings().mongo, timeout_s=5)
    yield made
    await made.close()


@pytest.fixture
def instruments(mongo: MongoStore) -> Instruments:
    return Instruments({FEED.venue: FEED}, LiveView(), mongo)


async def test_what_is_followed_is_known_in_any_case_and_without_the_store(instruments: Instruments) -> None:
    assert await instruments.find("btcUsdt") == Instrument("binance", "BTCUSDT")
    assert await instruments.find("BTCUSDT", "binance") == Instrument("binance", "BTCUSDT")


async def test_a_store_that_is_away_makes_no_symbol_unknown(instruments: Instruments, mongo: MongoStore) -> None:
    for expected in ("store_unavailable", "unknown_symbol"):
        with pytest.raises(Problem) as refused:
            await instruments.find("SOLUSDT")
        assert refused.value.code == expected
        await mongo.check()


async def test_the_hub_knows_better_than_the_settings_what_is_followed(
    mongo: MongoStore, deployment: Deployment
) -> None:
    broadcast = deployment.start_hub()
    deployment.tell(LIVE)
    async with LiveView(f"ws://127.0.0.1:{broadcast.port}/ws") as live:
        instruments = Instruments({"binance": Feed(symbols=("SOLUSDT",))}, live, mongo)
        assert (instruments.followed("binance"), instruments.followed("binance-usdm")) == ({"SOLUSDT"}, frozenset())
        await until(lambda: instruments.followed("binance") == {"BTCUSDT", "ETHUSDT"})


async def test_a_symbol_that_is_stored_or_listed_is_known(
    instruments: Instruments, mongo: MongoStore, deployment: Deployment
) -> None:
    deployment.store(stored_candles(1, symbol="OLDUSDT"))
    deployment.list_instruments("NEWUSDT")
    await mongo.check()
    assert await instruments.find("oldusdt") == Instrument("binance", "OLDUSDT")
    assert await instruments.find("newusdt") == Instrument("binance", "NEWUSDT")
    assert [listed.symbol for listed in await instruments.listed("binance")] == ["NEWUSDT"]


def test_an_unknown_symbol_is_refused_with_the_names_that_are_like_it() -> None:
    names = {"BTCUSDT", "BTCUSDC", "ETHUSDT"}
    with pytest.raises(Problem, match=r"^BTCUSD is not known at binance; did you mean BTCUSD.") as refused:
        Instruments.check("BTCUSD", "binance", names)
    assert (refused.value.code, set(refused.value.nearest[:2])) == ("unknown_symbol", {"BTCUSDT", "BTCUSDC"})
    with pytest.raises(Problem, match=r"^XYZ is not known at binance$") as refused:
        Instruments.check("XYZ", "binance", names)
    assert refused.value.nearest == ()


async def test_a_list_is_restricted_to_known_symbols(mongo: MongoStore, deployment: Deployment) -> None:
    feeds = {"binance": Feed(symbols=("BTCUSDT",)), "kraken": Feed(venue="kraken", symbols=("BTC-USD",))}
    instruments = Instruments(feeds, LiveView(), mongo)
    # while the store is down nothing is known to be unknown
    assert await instruments.chosen(["abc"], feeds) == {"binance": {"ABC"}, "kraken": {"ABC"}}
    deployment.list_instruments("BTCUSDT", "ETHUSDT")
    await mongo.check()
    assert await instruments.chosen([], feeds) == {"binance": set(), "kraken": set()}
    assert (await instruments.chosen(["eth/usdt", "BTC-USD"], feeds))["binance"] >= {"ETHUSDT"}
    with pytest.raises(Problem, match=r"^BTCUSDX is not known at binance, kraken; did you mean BTCUSDT") as refused:
        await instruments.chosen(["BTCUSDT", "BTCUSDX"], feeds)
    assert (refused.value.code, refused.value.nearest[0]) == ("unknown_symbol", "BTCUSDT")


async def test_a_symbol_that_no_venue_knows_is_refused_with_all_of_them(
    mongo: MongoStore, deployment: Deployment
) -> None:
    feeds = {"binance": Feed(symbols=("BTCUSDT",)), "kraken": Feed(venue="kraken", symbols=("BTC-USD",))}
    instruments = Instruments(feeds, LiveView(), mongo)
    deployment.list_instruments("BTCUSDT", "ETHUSDT")
    await mongo.check()
    with pytest.raises(Problem, match=r"^BTC-USX is not known at binance, kraken; did you mean BTC-USD") as refused:
        await instruments.find("BTC-USX")
    assert (refused.value.code, refused.value.nearest[0]) == ("unknown_symbol", "BTC-USD")
    with pytest.raises(Problem, match=r"^the venue bitmex is unknown; there are binance, kraken$"):
        await instruments.find("BTC-USD", "bitmex")


async def test_a_venue_is_known_from_its_first_candle_on(
    instruments: Instruments, mongo: MongoStore, deployment: Deployment
) -> None:
    await mongo.check()
    assert await instruments.venue("") == "binance"
    with pytest.raises(Problem) as refused:
        await instruments.find("BTCUSDT", "binance-usdm")
    assert (refused.value.code, refused.value.nearest) == ("unknown_venue", ("binance",))
    deployment.store(stored_candles(1, venue="binance-usdm"))
    assert await instruments.find("BTCUSDT", "binance-usdm") == Instrument("binance-usdm", "BTCUSDT")


@pytest.mark.parametrize(("reload_ms", "known"), [(0, True), (LONG_MS, False)])
async def test_what_is_not_found_is_looked_for_again_after_a_while(
    instruments: Instruments,
    mongo: MongoStore,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    *,
    reload_ms: int,
    known: bool,
) -> None:
    monkeypatch.setattr(catalogue_module, "KEPT_MS", LONG_MS)
    monkeypatch.setattr(catalogue_module, "RELOAD_MS", reload_ms)
    await mongo.check()
    assert await instruments.listed("binance") == []
    deployment.list_instruments("SOLUSDT")
    assert await instruments.listed("binance") == []
    if known:
        assert await instruments.find("SOLUSDT") == Instrument("binance", "SOLUSDT")
    else:
        with pytest.raises(Problem, match="SOLUSDT is not known"):
            await instruments.find("SOLUSDT")


async def test_a_symbol_of_several_venues_must_come_with_one(mongo: MongoStore, deployment: Deployment) -> None:
    await mongo.check()
    feeds = {
        "binance": Feed(symbols=("BTCUSDT", "ETHUSDT")),
        "binance-usdm": Feed(venue="binance-usdm", symbols=("BTCUSDT", "SOLUSDT")),
    }
    instruments = Instruments(feeds, LiveView(), mongo)
    with pytest.raises(Problem, match="BTCUSDT is at binance and binance-usdm: ") as refused:
        await instruments.find("btcusdt")
    assert (refused.value.code, refused.value.nearest) == ("ambiguous_symbol", ("binance", "binance-usdm"))
    for venue in feeds:
        assert await instruments.find("BTCUSDT", venue) == Instrument(venue, "BTCUSDT")
    assert await instruments.find("ethusdt") == Instrument("binance", "ETHUSDT")
    assert await instruments.find("solusdt") == Instrument("binance-usdm", "SOLUSDT")
    deployment.store(stored_candles(1, venue="binance-usdm", symbol="OLDUSDT"))
    instruments = Instruments(feeds, LiveView(), mongo)
    assert await instruments.find("OLDUSDT") == Instrument("binance-usdm", "OLDUSDT")
    with pytest.raises(Problem) as refused:
        await instruments.find("NOUSDT")
    assert refused.value.code == "unknown_symbol"
