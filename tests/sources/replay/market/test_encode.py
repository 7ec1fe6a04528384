import msgspec
import polars as pl
import pytest

from sources.replay.market.aggregate import AGGREGATE, TRADE
from sources.replay.market.decimals import decimals_of
from sources.replay.market.encode import PayloadEncoder, Statistics
from sources.replay.market.klines import Kline
from sources.replay.market.market import MarketKind

SPOT = PayloadEncoder("spot", "BTCUSDT", decimals_of("spot", price=2, quantity=5))
USDM = PayloadEncoder("usdm", "BTCUSDT", decimals_of("usdm", price=1, quantity=3, printed=(2, 3)))
TRADES = pl.DataFrame([(7, 1000, 1001, 1001, 0, 6183763, 2000, True)], schema=TRADE, orient="row")
AGGREGATES = pl.DataFrame([(3, 1000, 1001, 1001, 0, 618003, 6, False, 7, 9)], schema=AGGREGATE, orient="row")
KLINE = Kline(60_000, 100, 130, 90, 120, 50, 5_500, 4, 20, 2_200, 7, 10)


def test_spot_trade() -> None:
    assert SPOT.trades(TRADES) == [
        b'{"e":"trade","E":1001,"s":"BTCUSDT","t":7,"p":"61837.63000000","q":"0.02000000","T":1000,"m":true,"M":true}'
    ]


def test_futures_trade_names_its_fill() -> None:
    rows = TRADES.with_columns(price=pl.lit(618003), quantity=pl.lit(6))
    assert USDM.trades(rows) == [
        b'{"e":"trade","E":1001,"T":1000,"s":"BTCUSDT","t":7,"p":"61800.30","q":"0.006","X":"MARKET","m":true,"st":1}'
    ]


def test_aggregates() -> None:
    assert USDM.aggregates(AGGREGATES) == [
        (
            b'{"e":"aggTrade","E":1001,"s":"BTCUSDT","a":3,"p":"61800.30","q":"0.006","nq":"0.006",'
            b'"f":7,"l":9,"T":1000,"m":false,"st":1}'
        )
    ]
    assert SPOT.aggregates(AGGREGATES) == [
        (
            b'{"e":"aggTrade","E":1001,"s":"BTCUSDT","a":3,"p":"6180.03000000","q":"0.00006000",'
            b'"f":7,"l":9,"T":1000,"m":false,"M":true}'
        )
    ]


def test_rest_rows() -> None:
    assert SPOT.trade_rows(TRADES) == [
        {
            "id": 7,
            "price": "61837.63000000",
            "qty": "0.02000000",
            "quoteQty": "1236.75260000",
            "time": 1000,
            "isBuyerMaker": True,
            "isBestMatch": True,
        }
    ]
    row = {"a": 3, "p": "61800.30", "q": "0.006", "f": 7, "l": 9, "T": 1000, "m": False, "nq": "0.006"}
    assert USDM.aggregate_rows(AGGREGATES) == [row]


def test_kline_in_both_forms() -> None:
    payload = msgspec.json.decode(SPOT.kline("1m", KLINE, event_ms=121_000, closed=True))
    assert payload == {
        "e": "kline",
        "E": 121_000,
        "s": "BTCUSDT",
        "k": {
            "t": 60_000,
            "T": 119_999,
            "s": "BTCUSDT",
            "i": "1m",
            "f": 7,
            "L": 10,
            "o": "1.00000000",
            "c": "1.20000000",
            "h": "1.30000000",
            "l": "0.90000000",
            "v": "0.00050000",
            "n": 4,
            "x": True,
            "q": "0.00055000",
            "V": "0.00020000",
            "Q": "0.00022000",
            "B": "0",
        },
    }
    k = payload["k"]
    assert SPOT.kline_row("1m", KLINE) == [k[name] for name in "tohlcvTqnVQB"]


def statistics() -> Statistics:
    return Statistics(KLINE, 1_000, 86_401_000, 95, 6, ("1.10", "2"), ("1.30", "4"))


def test_ticker_follows_from_its_window() -> None:
    payload = statistics().payload(SPOT, event_ms=86_401_003)
    assert payload["p"] == "0.20000000"
    assert payload["P"] == "20.000"
    assert payload["w"] == "1.10000000"
    assert payload["x"] == "0.95000000"
    assert (payload["b"], payload["A"]) == ("1.10", "4")
    assert (payload["F"], payload["L"], payload["n"]) == (7, 10, 4)
    assert list(payload)[:6] == ["e", "E", "s", "p", "P", "w"]


@pytest.mark.parametrize(("encoder", "extra"), [(SPOT, set("xbBaA")), (USDM, {"ps", "st"})])
def test_fields_that_only_one_market_has(encoder: PayloadEncoder, extra: set[str]) -> None:
    common = set("eEspPwcQohlvqOCFLn")
    assert set(statistics().payload(encoder, event_ms=0)) == common | extra
    assert ("prevClosePrice" in statistics().full(encoder)) is (encoder.kind == "spot")


def test_mini_ticker() -> None:
    mini = statistics().mini_payload(SPOT, event_ms=5)
    assert list(mini) == list("eEscohlvq")
    assert (mini["e"], mini["c"]) == ("24hrMiniTicker", "1.20000000")


@pytest.mark.parametrize("kind", ["spot", "usdm"])
def test_book_tickers_written_singly_and_by_the_frame_agree(kind: MarketKind) -> None:
    encoder = SPOT if kind == "spot" else USDM
    numbers = encoder.decimals
    columns = ("due", "update_id", "bid", "bid_lots", "ask", "ask_lots")
    rows = pl.DataFrame([(9, 5, 100, 3, 101, 4)], schema=dict.fromkeys(columns, pl.Int64), orient="row")
    bid = (numbers.price_text(100), numbers.quantity_text(3))
    ask = (numbers.price_text(101), numbers.quantity_text(4))
    assert encoder.book_tickers(rows) == [encoder.book_ticker(5, bid, ask, event_ms=9)]
    assert encoder.no_level()[0] == numbers.price_text(0)


def test_depth_update() -> None:
    update = {"e": "depthUpdate", "E": 9, "s": "BTCUSDT", "U": 3, "u": 5, "b": [["1", "2"]], "a": []}
    assert msgspec.json.decode(SPOT.depth_update(3, 5, 2, bids=[("1", "2")], asks=[], event_ms=9)) == update
    assert msgspec.json.decode(USDM.depth_update(3, 5, 2, bids=[("1", "2")], asks=[], event_ms=9)) == update | {
        "T": 9,
        "pu": 2,
        "ps": "BTCUSDT",
        "st": 1,
    }
