import json
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from sources.replay.exchange.limits import Refusal
from sources.replay.venues.kraken.accounts.rest import KrakenPrivate
from sources.replay.venues.kraken.accounts.service import KrakenAccounts
from sources.replay.venues.kraken.dialect import synthetic_kraken
from sources.replay.venues.kraken.rest import KrakenRest
from tests.fakes.played import PlayedView, play_until
from tests.fakes.recordings import recording
from tests.fakes.shapes import fits

BEGIN_MS = 1_767_225_600_000


@pytest.fixture(scope="module")
def view() -> PlayedView:
    served = synthetic_kraken(["BTC-USD", "DOGE-USD"], seed=5, start_ms=BEGIN_MS, trades_per_s=4.0)
    play_until(served.market, BEGIN_MS + 90_000)
    return PlayedView(served)


def rest(view: PlayedView, *, requests_per_s: float = 1_000.0) -> KrakenRest:
    private = KrakenPrivate(view, KrakenAccounts(view))
    return KrakenRest(view, view.market, private=private, requests_per_s=requests_per_s)


def answer(view: PlayedView, path: str) -> Any:
    reply = rest(view).reply(make_mocked_request("GET", f"/0/public/{path}"), 0.0)
    assert reply.status == 200
    return json.loads(json.dumps(reply.body))


def test_rows_of_trades_and_candles_are_as_recorded(view: PlayedView) -> None:
    folder = recording("kraken-xbtusdt-2025-11-10")
    for file, path in (("http_trades.json", "Trades"), ("http_ohlc.json", "OHLC")):
        true = json.loads((folder / file).read_text())
        sent = answer(view, f"{path}?pair=XBTUSD")
        assert set(sent["result"]) == {"XXBTZUSD", "last"}
        assert isinstance(sent["result"]["last"], type(true["result"]["last"]))
        rows, recorded = sent["result"]["XXBTZUSD"], true["result"]["XBTUSDT"]
        assert [type(one) for one in rows[-1]] == [type(one) for one in recorded[-1]]
        texts = [place for place, one in enumerate(recorded[0]) if isinstance(one, str) and place != 5]
        for place in texts:
            points = {len(one[place].partition(".")[2]) for one in recorded if one[-1]}
            assert {len(one[place].partition(".")[2]) for one in rows} <= points


def test_the_book_and_the_pairs_are_as_recorded(view: PlayedView) -> None:
    folder = recording("kraken-v2-2026-07-07")
    true = json.loads((folder / "rest-depth-btc.json").read_text())
    sent = answer(view, "Depth?pair=XXBTZUSD&count=25")
    assert fits(sent, true)
    (book,) = sent["result"].values()
    assert [len(book[side]) for side in ("asks", "bids")] == [25, 25]
    assert {len(text.partition(".")[2]) for row in book["asks"] for text in row[:1]} == {5}
    pairs = json.loads((folder / "assetpairs.json").read_text())["result"]
    listed = answer(view, "AssetPairs")["result"]
    assert set(listed) == {"XXBTZUSD", "XDGUSD"}
    for name, row in listed.items():
        assert set(row) == set(pairs[name])
        same = ("altname", "wsname", "base", "quote", "pair_decimals", "lot_decimals", "tick_size", "status")
        assert {key: row[key] for key in same} == {key: pairs[name][key] for key in same}


def test_pages_of_trades_repeat_the_last_row_and_miss_none(view: PlayedView) -> None:
    rows: list[Any] = []
    since, repeated = "0", []
    while True:
        page = answer(view, f"Trades?pair=XBTUSD&since={since}&count=100")["result"]
        repeated.append(page["XXBTZUSD"][0] in rows)
        new = [row for row in page["XXBTZUSD"] if row not in rows]
        rows += new
        since = page["last"]
        if not new:
            break
    ids = [row[6] for row in rows]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert len(ids) > 300
    assert repeated == [False, *[True] * (len(repeated) - 1)]
    assert [row[2] for row in rows] == sorted(row[2] for row in rows)
    newest = answer(view, "Trades?pair=XBTUSD&count=7")["result"]["XXBTZUSD"]
    assert newest == rows[-7:]
    in_seconds = answer(view, f"Trades?pair=XBTUSD&since={rows[150][2]}&count=1")["result"]["XXBTZUSD"]
    assert in_seconds[0][2] == rows[150][2]


def test_candles_agree_with_the_trades_and_the_last_is_running(view: PlayedView) -> None:
    result = answer(view, "OHLC?pair=XBTUSD&interval=1")["result"]
    candles, trades = result["XXBTZUSD"], answer(view, "Trades?pair=XBTUSD&since=0")["result"]["XXBTZUSD"]
    assert len(candles) == 720
    assert (candles[-1][0], result["last"]) == ((BEGIN_MS + 60_000) // 1_000, BEGIN_MS // 1_000)
    for candle in candles[-2:]:
        inside = [row for row in trades if candle[0] <= row[2] < candle[0] + 60]
        assert candle[7] == len(inside)
        assert float(candle[1]) == float(inside[0][0])
        assert float(candle[2]) == max(float(row[0]) for row in inside)
        assert f"{sum(float(row[1]) for row in inside):.8f}" == candle[6]
    later = answer(view, f"OHLC?pair=XBTUSD&interval=1&since={candles[-3][0]}")["result"]["XXBTZUSD"]
    assert later == candles[-2:]


def test_times_status_and_ticker(view: PlayedView) -> None:
    now = answer(view, "Time")["result"]
    assert (now["unixtime"], set(now)) == (view.now_ms // 1_000, {"unixtime", "rfc1123"})
    assert answer(view, "SystemStatus")["result"]["status"] == "online"
    ticker = answer(view, "Ticker?pair=XBTUSD,XDGUSD")["result"]
    assert set(ticker) == {"XXBTZUSD", "XDGUSD"}
    sizes = {name: len(value) if isinstance(value, list) else 1 for name, value in ticker["XXBTZUSD"].items()}
    assert sizes == {"a": 3, "b": 3, "c": 2, "v": 2, "p": 2, "t": 2, "l": 2, "h": 2, "o": 1}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("Trades?pair=BTCXYZ", "EQuery:Unknown asset pair"),
        ("Ticker?pair=XBTUSD,NOPE", "EQuery:Unknown asset pair"),
        ("OHLC", "EGeneral:Invalid arguments"),
        ("OHLC?pair=XBTUSD&interval=7", "EGeneral:Invalid arguments"),
        ("Trades?pair=XBTUSD&since=-1", "EGeneral:Invalid arguments"),
        ("Trades?pair=XBTUSD&count=0", "EGeneral:Invalid arguments"),
        ("Depth?pair=XBTUSD&count=" + "9" * 50, "EGeneral:Invalid arguments"),
        ("Klines?pair=XBTUSD", "EGeneral:Unknown method"),
    ],
)
def test_a_request_that_is_refused_says_why(view: PlayedView, path: str, error: str) -> None:
    assert answer(view, path) == {"error": [error]}


def test_one_too_many_is_refused_for_its_pair_alone(view: PlayedView) -> None:
    api = rest(view, requests_per_s=0.3)

    def errors(path: str, now_s: float) -> list[str]:
        errors: list[str] = api.reply(make_mocked_request("GET", f"/0/public/{path}"), now_s).body["error"]
        return errors

    bitcoin = [errors("Trades?pair=XBTUSD", now_s) for now_s in (0.0, 1.0, 2.0, 3.0, 10.5)]
    assert bitcoin == [[], [], [], ["EAPI:Rate limit exceeded"], []]
    assert errors("Trades?pair=XDGUSD", 3.0) == []
    assert [errors("Time", 3.0) for _ in range(4)] == [[], [], [], ["EAPI:Rate limit exceeded"]]


def test_an_ordered_error_has_its_status_and_its_text(view: PlayedView) -> None:
    assert rest(view).refused(Refusal(503, 1), 0.0)[:2] == (503, {"error": ["EService:Unavailable"]})
    assert rest(view).refused(Refusal(400, 1, 1, "<b>"), 0.0)[:2] == (400, {"error": ["<b>"]})
