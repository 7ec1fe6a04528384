"""The queries to Kraken's REST side, against a server on loopback that gives recorded answers and ones made by hand."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import isnan
from typing import Any

import pytest
from aiohttp import web

from flows.model import BookSnapshot, ListedInstrument, Trade
from flows.queries import BookQuery, DisputedTradesQuery, KlinesQuery, PastTradesQuery, QueryError, TradesQuery
from flows.settings import Feed, Rest
from sources.kraken.rest import KrakenRest, refusal_in
from sources.rest.client import VenueError
from tests.fakes.kraken_frames import REST_PAIR, REST_SYMBOL, rest_rows
from tests.fakes.recordings import recording

BEGIN_S = 1_762_795_440
"""Begin of a minute."""


class Server:
    """Answers by path, and notes the queries."""

    def __init__(self, **answers: Callable[[dict[str, str]], Any]) -> None:
        self._answers = answers
        self.queries: list[dict[str, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.queries.append(query)
        body = self._answers[request.path.rpartition("/")[2]](query)
        return web.Response(body=body if isinstance(body, bytes) else json.dumps(body).encode())


@asynccontextmanager
async def served(server: Server) -> AsyncIterator[KrakenRest]:
    app = web.Application()
    app.router.add_get("/0/public/{name}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    feed = Feed.model_validate({"venue": "kraken", "origin": "replay", "rest_url": f"http://{host}:{port}"})
    try:
        async with KrakenRest.of(feed, Rest(tries=1, weight_share=1.0)) as rest:
            yield rest
    finally:
        await runner.cleanup()


def answer(result: Any) -> dict[str, Any]:
    return {"error": [], "result": result}


def trade_row(number: int, second: float = 0.5, side: str = "b") -> list[Any]:
    return ["105433.60000", "0.00027625", BEGIN_S + second, side, "l", "", number]


def trade(number: int, ms: int = 500, *, sold: bool = False) -> Trade:
    time = BEGIN_S * 1_000 + ms
    return Trade(REST_SYMBOL, number, time, 105_433.6, 0.00027625, sold, time)


def query(first: int, last: int, begin: int = BEGIN_S * 1_000) -> TradesQuery:
    return TradesQuery(REST_SYMBOL, first, last, begin, begin + 60_000)


def by_time(rows: list[list[Any]], *, page: int) -> Callable[[dict[str, str]], Any]:
    """Trades as the venue serves them: from `since` on, that included, so many at once."""

    def serve(params: dict[str, str]) -> Any:
        found = [row for row in rows if round(row[2] * 1e9) >= int(params["since"])][:page]
        last = str(round((found[-1][2] if found else 0) * 1e9))
        return answer({REST_PAIR: found, "last": last})

    return serve


async def test_missing_trades_are_those_of_the_ids_from_the_time_of_the_one_before() -> None:
    server = Server(Trades=by_time([trade_row(number, side="s") for number in range(5, 12)], page=1_000))
    async with served(server) as rest:
        assert await rest.trades(query(7, 9)) == [trade(number, sold=True) for number in (7, 8, 9)]
    assert server.queries == [{"pair": "XBTUSDT", "since": f"{BEGIN_S}000000000", "count": "1000"}]


async def test_pages_overlap_in_their_last_row_and_give_each_trade_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.kraken.rest.PAGE", 3)
    rows = [trade_row(number, number / 4) for number in range(9)]
    async with served(Server(Trades=by_time(rows, page=3))) as rest:
        assert [one.id for one in await rest.trades(query(2, 8))] == [2, 3, 4, 5, 6, 7, 8]


async def test_a_page_of_one_moment_does_not_end_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.kraken.rest.PAGE", 3)
    rows = [trade_row(number, 0.5) for number in range(3)] + [trade_row(number, 0.75) for number in (3, 4)]
    server = Server(Trades=by_time(rows, page=3))
    async with served(server) as rest:
        assert [one.id for one in await rest.trades(query(0, 4))] == [0, 1, 2, 3, 4]
    assert int(server.queries[-1]["since"]) == BEGIN_S * 10**9 + 500_000_001


async def test_trades_before_the_time_of_the_query_are_looked_for_earlier() -> None:
    server = Server(Trades=by_time([trade_row(number, number) for number in range(10)], page=1_000))
    disputed = DisputedTradesQuery(REST_SYMBOL, 2, 7, (BEGIN_S + 5) * 1_000, (BEGIN_S + 60) * 1_000)
    async with served(server) as rest:
        assert [one.id for one in await rest.disputed_trades(disputed)] == [2, 3, 4, 5, 6, 7]
    assert len(server.queries) == 2


async def test_the_first_trades_of_a_time_lie_within_it() -> None:
    rows = [trade_row(number, number) for number in range(10)]
    async with served(Server(Trades=by_time(rows, page=1_000))) as rest:
        past = PastTradesQuery(REST_SYMBOL, 0, 1 << 62, (BEGIN_S + 3) * 1_000, (BEGIN_S + 5) * 1_000)
        assert [one.id for one in await rest.first_trades(past)] == [3, 4, 5]


async def test_the_recorded_trades_have_no_hole_and_their_times_to_the_millisecond() -> None:
    rows = rest_rows("http_trades")
    async with served(Server(Trades=lambda _: answer({REST_PAIR: rows}))) as rest:
        found = await rest.trades(query(rows[0][6], rows[-1][6], begin=int(rows[0][2] * 1_000)))
    assert [one.id for one in found] == [*range(10_218_208, 10_219_208)]
    assert (found[0].time, found[0].price, found[0].buyer_is_maker) == (1_762_795_433_971, 105_433.6, False)


# --- klines ---


def kline_row(minute: int, trades: int = 3) -> list[Any]:
    return [BEGIN_S + 60 * minute, "105410.1", "105410.1", "105351.1", "105351.1", "105382.3", "0.00955370", trades]


async def test_klines_are_those_of_the_span_and_the_newest_row_runs() -> None:
    server = Server(OHLC=lambda _: answer({REST_PAIR: [kline_row(minute) for minute in range(5)], "last": 1}))
    begin = BEGIN_S * 1_000
    async with served(server) as rest:
        found = await rest.klines(KlinesQuery(REST_SYMBOL, "1m", begin + 60_000, begin + 600_000))
    assert [(kline.open_time - begin, kline.is_closed) for kline in found] == [
        (60_000, True), (120_000, True), (180_000, True), (240_000, False),
    ]  # fmt: skip
    first = found[0]
    assert (first.prices, first.volume, first.trades) == ((105410.1, 105410.1, 105351.1, 105351.1), 0.0095537, 3)
    assert first.quote_volume == 105382.3 * 0.0095537
    assert isnan(first.taker_buy_volume)
    assert (first.first_id, first.last_id) == (-1, -1)
    assert server.queries == [{"pair": "XBTUSDT", "interval": "1", "since": str(BEGIN_S)}]


async def test_a_timeframe_that_the_venue_has_not_is_no_query() -> None:
    async with served(Server()) as rest:
        with pytest.raises(QueryError, match="no klines of 3m"):
            await rest.klines(KlinesQuery(REST_SYMBOL, "3m", 0, 1))


async def test_the_recorded_klines_are_all_possible() -> None:
    rows = rest_rows("http_ohlc")
    async with served(Server(OHLC=lambda _: answer({REST_PAIR: rows, "last": 1}))) as rest:
        found = await rest.klines(KlinesQuery(REST_SYMBOL, "1m", rows[0][0] * 1_000, rows[-1][0] * 1_000))
    assert len(found) == 721
    assert [kline.is_closed for kline in found] == [True] * 720 + [False]


# --- instruments, books, errors ---


def status_of(system: str, **pairs: str) -> Server:
    listed = {
        name: {"wsname": name.replace("_", "/"), "status": status, "pair_decimals": 1, "lot_decimals": 8}
        for name, status in pairs.items()
    }
    return Server(SystemStatus=lambda _: answer({"status": system}), AssetPairs=lambda _: answer(listed))


async def test_instruments_are_by_our_names() -> None:
    async with served(status_of("online", XBT_USD="online", XDG_EUR="cancel_only", ADA_USD="limit_only")) as rest:
        assert await rest.instruments() == [
            ListedInstrument("kraken", "BTC-USD", "TRADING", "BTC", "USD", 1, 8),
            ListedInstrument("kraken", "DOGE-EUR", "CANCEL_ONLY", "DOGE", "EUR", 1, 8),
            ListedInstrument("kraken", "ADA-USD", "TRADING", "ADA", "USD", 1, 8),
        ]


async def test_in_maintenance_nothing_trades() -> None:
    async with served(status_of("maintenance", XBT_USD="online")) as rest:
        assert [(one.symbol, one.status) for one in await rest.instruments()] == [("BTC-USD", "MAINTENANCE")]


async def test_the_recorded_list_names_the_instruments() -> None:
    listed = (recording("kraken-v2-2026-07-07") / "assetpairs.json").read_bytes()
    server = Server(SystemStatus=lambda _: answer({"status": "online"}), AssetPairs=lambda _: listed)
    async with served(server) as rest:
        found = {one.symbol: one for one in await rest.instruments()}
    assert {"BTC-USD", "ETH-USD", "SOL-USD", "DOGE-USD"} <= found.keys()
    assert found["BTC-USD"] == ListedInstrument("kraken", "BTC-USD", "TRADING", "BTC", "USD", 1, 8)
    assert found["SOL-USD"] == ListedInstrument("kraken", "SOL-USD", "TRADING", "SOL", "USD", 2, 8)


async def test_a_book_has_its_best_levels_and_no_id() -> None:
    levels = {"bids": [["9.0", "1.0", 1], ["8.0", "2.0", 1]], "asks": [["10.0", "1.0", 1]]}
    server = Server(Depth=lambda _: answer({"XXBTZUSD": levels}))
    async with served(server) as rest:
        book = await rest.book(BookQuery("BTC-USD", 1_000))
        assert book == BookSnapshot("BTC-USD", 0, [(9.0, 1.0), (8.0, 2.0)], [(10.0, 1.0)])
        path, body = await rest.recorded_book("BTC-USD")
    assert path == "/0/public/Depth?pair=XBTUSD&count=500"
    assert json.loads(body)["result"] == {"XXBTZUSD": levels}
    assert server.queries == [{"pair": "XBTUSD", "count": "500"}] * 2


async def test_the_time_is_the_middle_of_a_second() -> None:
    async with served(Server(Time=lambda _: answer({"unixtime": BEGIN_S, "rfc1123": ""}))) as rest:
        assert await rest.time() == BEGIN_S * 1_000 + 500


@pytest.mark.parametrize(
    ("text", "status"),
    [("EAPI:Rate limit exceeded", 429), ("EService: Throttled: 1", 429), ("EService:Unavailable", 503),
     ("EQuery:Unknown asset pair", 200)],
)  # fmt: skip
def test_an_error_in_a_good_answer_is_one(text: str, status: int) -> None:
    refusal = refusal_in(json.dumps({"error": [text]}).encode())
    assert refusal is not None
    assert refusal.status == status
    assert text in str(refusal)


@pytest.mark.parametrize("body", [b'{"error":[],"result":{}}', b"no json", b"[]", b'{"error":{}}'])
def test_what_names_no_error_is_left_to_its_reader(body: bytes) -> None:
    assert refusal_in(body) is None


@pytest.mark.parametrize("body", [
    b"", b"[]", b'{"error":[]}', b'{"error":[],"result":[]}', b'{"error":[],"result":{"X":{}}}',
    b'{"error":[],"result":{"X":[["1","1",true,"b","l","",1]]}}', b'{"error":["EQuery:Unknown asset pair"]}',
    b'{"error":[],"result":{"X":[["1","1",1e999,"b","l","",1]]}}',
])  # fmt: skip
async def test_an_answer_that_is_none_is_an_error_of_the_venue(body: bytes) -> None:
    async with served(Server(Trades=lambda _: body, OHLC=lambda _: body)) as rest:
        with pytest.raises(VenueError):
            await rest.trades(query(1, 2))
        with pytest.raises(VenueError):
            await rest.klines(KlinesQuery(REST_SYMBOL, "1m", 0, 1))
