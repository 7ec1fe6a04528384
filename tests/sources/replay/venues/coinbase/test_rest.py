import gzip
import json
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from sources.replay.exchange.limits import Refusal
from sources.replay.venues.coinbase.accounts.rest import CoinbasePrivate
from sources.replay.venues.coinbase.accounts.service import CoinbaseAccounts
from sources.replay.venues.coinbase.dialect import synthetic_coinbase
from sources.replay.venues.coinbase.rest import CoinbaseRest
from tests.fakes.played import PlayedView, play_until
from tests.fakes.recordings import recording
from tests.fakes.shapes import fits

BEGIN_MS = 1_767_225_600_000


@pytest.fixture(scope="module")
def view() -> PlayedView:
    served = synthetic_coinbase(["BTC-USD"], seed=5, start_ms=BEGIN_MS, trades_per_s=4.0)
    play_until(served.market, BEGIN_MS + 90_000)
    return PlayedView(served)


def answer(view: PlayedView, path: str) -> tuple[int, Any, dict[str, str]]:
    api = CoinbaseRest(view, view.market, private=CoinbasePrivate(view, CoinbaseAccounts(view)), requests_per_s=1_000)
    reply = api.reply(make_mocked_request("GET", path), 0.0)
    return reply.status, json.loads(json.dumps(reply.body)), dict(reply.headers)


def test_pages_of_trades_are_walked_by_their_cursors_without_hole_or_repeat(view: PlayedView) -> None:
    ids: list[int] = []
    path = "/products/BTC-USD/trades?limit=70"
    after = ""
    while True:
        status, rows, headers = answer(view, path + after)
        if not rows:
            assert "CB-AFTER" not in headers
            break
        ids += [row["trade_id"] for row in rows]
        assert (status, headers["CB-BEFORE"], headers["CB-AFTER"]) == (200, str(rows[0]["trade_id"]), str(ids[-1]))
        after = f"&after={headers['CB-AFTER']}"
    assert ids == list(range(ids[0], ids[0] - len(ids), -1))
    assert len(ids) > 300
    _, hole, _ = answer(view, f"/products/BTC-USD/trades?after={ids[10]}&limit=3")
    assert [row["trade_id"] for row in hole] == ids[11:14]
    _, newer, _ = answer(view, f"/products/BTC-USD/trades?before={ids[5]}")
    assert [row["trade_id"] for row in newer] == ids[:5]
    assert set(hole[0]) == {"trade_id", "side", "size", "price", "time"}


def test_candles_are_newest_first_and_agree_with_the_trades(view: PlayedView) -> None:
    _, candles, _ = answer(view, "/products/BTC-USD/candles?granularity=60")
    _, trades, _ = answer(view, "/products/BTC-USD/trades")
    assert len(candles) == 300
    assert [row[0] for row in candles] == sorted((row[0] for row in candles), reverse=True)
    time_s, low, high, first, last, volume = candles[0]
    minute = [row for row in reversed(trades) if row["time"] >= "2026-01-01T00:01"]
    prices = [float(row["price"]) for row in minute]
    assert (time_s, low, high) == ((BEGIN_MS + 60_000) // 1_000, min(prices), max(prices))
    assert (first, last) == (prices[0], prices[-1])
    assert volume == pytest.approx(sum(float(row["size"]) for row in minute))
    begin, end = "2025-12-31T23:50:00Z", "2025-12-31T23:55:00Z"
    _, some, _ = answer(view, f"/products/BTC-USD/candles?granularity=60&start={begin}&end={end}")
    assert [row[0] for row in some] == [BEGIN_MS // 1_000 - 60 * minutes for minutes in range(5, 11)]


def test_the_book_is_as_recorded_and_products_time_and_ticker_are_served(view: PlayedView) -> None:
    path = recording("coinbase-exchange-2026-07-07") / "rest-book-btc.json.gz"
    true = json.loads(gzip.decompress(path.read_bytes()))
    _, book, _ = answer(view, "/products/BTC-USD/book?level=2")
    assert fits(book, true)
    assert len(book["bids"]) > 100
    _, best, _ = answer(view, "/products/BTC-USD/book")
    assert [best["bids"], best["asks"]] == [book["bids"][:1], book["asks"][:1]]
    _, product, _ = answer(view, "/products/BTC-USD")
    assert (product["id"], product["quote_increment"], product["base_increment"]) == ("BTC-USD", "0.01", "0.00000001")
    assert answer(view, "/products")[1] == [product]
    assert answer(view, "/time")[1]["epoch"] == view.now_ms / 1_000
    _, ticker, _ = answer(view, "/products/BTC-USD/ticker")
    assert ticker["trade_id"] == answer(view, "/products/BTC-USD/trades?limit=1")[1][0]["trade_id"]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/products/NO-USD", 404, "NotFound"),
        ("/products/BTC-USD/klines", 404, "NotFound"),
        ("/products/BTC-USD/candles?granularity=61", 400, "Unsupported granularity"),
        ("/products/BTC-USD/candles?granularity=60&start=0&end=18060", 400, "granularity too small"),
        ("/products/BTC-USD/candles?granularity=60&start=x&end=1", 400, "invalid start"),
        ("/products/BTC-USD/trades?after=-1", 400, "invalid after"),
        ("/products/BTC-USD/book?level=4", 400, "Invalid level"),
    ],
)
def test_a_request_that_is_refused_says_why(view: PlayedView, path: str, status: int, message: str) -> None:
    found, body, _ = answer(view, path)
    assert (found, body["message"][: len(message)]) == (status, message)


def test_one_too_many_in_a_second_is_refused(view: PlayedView) -> None:
    api = CoinbaseRest(view, view.market, private=CoinbasePrivate(view, CoinbaseAccounts(view)), requests_per_s=2)
    statuses = [api.reply(make_mocked_request("GET", "/time"), now_s).status for now_s in (0.0, 0.1, 0.2, 1.1)]
    assert statuses == [200, 200, 429, 200]
    assert api.refused(Refusal(429, 7), 0.0)[1:] == ({"message": "Public rate limit exceeded"}, {"Retry-After": "7"})
