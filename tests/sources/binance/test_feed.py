from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.feed import Ack, ConnectionPlan, Refusal, Shutdown


def feed(**changes: Any) -> BinanceFeed:
    settings = {"symbols": ("BTCUSDT", "ETHUSDT"), "timeframes": ("1m", "5m")} | changes
    return BinanceFeed(Feed(**settings))


def test_spot_divides_books_from_the_rest() -> None:
    market, public = feed().plans({"BTCUSDT": ()})
    assert (market.line, market.url) == ("market", "wss://stream.binance.com:9443/stream")
    assert market.streams == (
        "btcusdt@aggTrade",
        "btcusdt@kline_1m",
        "btcusdt@kline_5m",
        "btcusdt@ticker",
    )
    assert market.names["btcusdt@kline_5m"] == ("BTCUSDT", "kline_5m")
    assert (public.line, public.streams) == ("public", ("btcusdt@depth@100ms", "btcusdt@bookTicker"))
    assert public.names == {
        "btcusdt@depth@100ms": ("BTCUSDT", "depth"),
        "btcusdt@bookTicker": ("BTCUSDT", "bookTicker"),
    }


def test_usdm_goes_by_its_routes() -> None:
    plans = feed(venue="binance-usdm").plans({"BTCUSDT": ()})
    assert [plan.url for plan in plans] == [
        "wss://fstream.binance.com/market/stream",
        "wss://fstream.binance.com/public/stream",
    ]


def test_usdm_raw_trades_come_with_the_books() -> None:
    plans = feed(venue="binance-usdm", streams=("trade", "kline")).plans({"BTCUSDT": ()})
    assert {plan.line: plan.streams for plan in plans} == {
        "market": ("btcusdt@kline_1m", "btcusdt@kline_5m"),
        "public": ("btcusdt@trade",),
    }


def test_streams_of_derivatives_come_by_the_market_line_and_contracts_by_one_stream_for_all() -> None:
    fed = feed(venue="binance-usdm", streams=("markPrice", "forceOrder", "contractInfo"))
    [plan] = fed.plans({"BTCUSDT": (), "ETHUSDT": ()})
    assert plan.line == "market"
    assert plan.streams == (
        "btcusdt@markPrice@1s", "btcusdt@forceOrder", "!contractInfo", "ethusdt@markPrice@1s", "ethusdt@forceOrder",
    )  # fmt: skip
    assert plan.names["ethusdt@markPrice@1s"] == ("ETHUSDT", "markPrice")
    [one] = fed.plans({"ETHUSDT": ()}, [plan])
    assert one.streams == ("ethusdt@markPrice@1s", "ethusdt@forceOrder", "!contractInfo")
    for name in plan.streams:
        frame = b'{"stream":"%b","data":{"e":"x"}}' % name.encode()
        assert fed.channel_of(frame) == fed.channel_of(frame) == name


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({"origin": "testnet"}, "wss://stream.testnet.binance.vision:9443/stream"),
        ({"origin": "replay", "ws_url": "ws://127.0.0.1:9443/"}, "ws://127.0.0.1:9443/stream"),
        ({"origin": "testnet", "venue": "binance-usdm"}, "wss://fstream.binancefuture.com/market/stream"),
    ],
)
def test_addresses(changes: dict[str, Any], address: str) -> None:
    assert feed(**changes).plans({"BTCUSDT": ()})[0].url == address


def test_an_origin_without_an_address_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ValueError, match=r"set feed\.ws_url"):
        feed(origin="replay")


def test_streams_that_do_not_fit_get_more_connections_and_symbols_stay_whole() -> None:
    symbols = tuple(f"COIN{number}USDT" for number in range(7))
    plans = feed(symbols=symbols, streams_per_connection=8, streams=("aggTrade", "kline", "ticker")).plans(
        dict.fromkeys(symbols, ())
    )
    assert [len(plan.symbols) for plan in plans] == [2, 2, 2, 1]  # four streams a symbol
    assert sorted(symbol for plan in plans for symbol in plan.symbols) == list(symbols)
    assert all(len(plan.streams) == 4 * len(plan.symbols) for plan in plans)


def test_symbols_stay_where_they_are_and_new_ones_go_where_there_is_most_room() -> None:
    fed = feed(streams_per_connection=4, streams=("aggTrade",), connections=2)
    first = fed.plans(dict.fromkeys("ABCDE", ()))
    assert [plan.symbols for plan in first] == [("A", "C", "E"), ("B", "D")]
    fewer = fed.plans(dict.fromkeys("BDE", ()), first)
    assert [plan.symbols for plan in fewer] == [("E",), ("B", "D")]
    more = fed.plans(dict.fromkeys("BDEFGHIJK", ()), fewer)
    assert [plan.symbols for plan in more] == [("E", "G", "I"), ("B", "D", "J"), ("F", "H", "K")]


@given(st.lists(st.sets(st.sampled_from("ABCDEFGHIJKL")), min_size=1, max_size=6))
def test_however_wishes_change_each_symbol_is_on_one_connection_and_stays_there(steps: list[set[str]]) -> None:
    fed = feed(streams_per_connection=4, streams=("aggTrade", "ticker"))
    plans: list[ConnectionPlan] = []
    for wanted in steps:
        before = plans
        plans = fed.plans(dict.fromkeys(sorted(wanted), ()), before)
        assert sorted(symbol for plan in plans for symbol in plan.symbols) == sorted(wanted)
        assert all(len(plan.streams) <= 4 for plan in plans)
        for old, new in zip(before, plans, strict=False):
            assert set(old.symbols) & wanted <= set(new.symbols)


def test_a_connection_that_nothing_is_left_for_keeps_its_place() -> None:
    fed = feed(streams=("aggTrade", "depth"))
    market, public = fed.plans({"BTCUSDT": ()})
    assert [plan.streams for plan in fed.plans({}, [market, public])] == [(), ()]
    assert fed.plans({"BTCUSDT": ()}, fed.plans({}, [market, public])) == [market, public]


def test_a_wish_names_its_kinds_of_streams() -> None:
    market, public = feed().plans({"BTCUSDT": ("kline", "depth"), "ETHUSDT": ("ticker",)})
    assert market.kinds == {"BTCUSDT": ("kline_1m", "kline_5m"), "ETHUSDT": ("ticker",)}
    assert market.streams == ("btcusdt@kline_1m", "btcusdt@kline_5m", "ethusdt@ticker")
    assert (public.kinds, public.streams) == ({"BTCUSDT": ("depth",)}, ("btcusdt@depth@100ms",))


def test_a_wish_may_be_for_the_klines_of_one_timeframe() -> None:
    [market] = feed().plans({"BTCUSDT": ("kline_5m",), "ETHUSDT": ("kline_5m", "kline"), "SOLUSDT": ("kline_7m",)})
    assert market.kinds == {"BTCUSDT": ("kline_5m",), "ETHUSDT": ("kline_5m", "kline_1m")}
    assert market.streams == ("btcusdt@kline_5m", "ethusdt@kline_5m", "ethusdt@kline_1m")


def test_the_quiet_symbols_of_a_connection_are_named() -> None:
    desired = {"BTCUSDT": ("aggTrade",), "ETHUSDT": ("aggTrade", "ticker")}
    [plan] = feed().plans(desired, not_trading=frozenset(("ETHUSDT", "SOLUSDT")))
    assert plan.not_trading == {"ETHUSDT"}


def test_streams_are_ended_as_they_were_begun() -> None:
    [(number, text)] = feed().unsubscribe_requests(("btcusdt@trade",))
    assert msgspec.json.decode(text) == {"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": number}


def test_requests_hold_up_to_two_hundred_names() -> None:
    names = tuple(f"coin{number}usdt@trade" for number in range(401))
    requests = [(number, msgspec.json.decode(text)) for number, text in feed().subscribe_requests(names)]
    assert [len(body["params"]) for _, body in requests] == [200, 200, 1]
    assert [name for _, body in requests for name in body["params"]] == list(names)
    assert all(body["method"] == "SUBSCRIBE" and body["id"] == number for number, body in requests)


@pytest.mark.parametrize(
    ("frame", "meaning"),
    [
        (b'{"result":null,"id":7}', Ack(7)),
        (b'{"code":2,"msg":"Invalid request: x"}', Refusal('the exchange says: "2: Invalid request: x"')),
        (
            b'{"error":{"code":2,"msg":"<b>\\nIgnore \\u001b[1m\\"this\\""},"id":4}',
            Refusal("the exchange says: \"2: < b> Ignore 'this'\"", 4),
        ),
        (b'{"error":"' + b"x" * 100_000 + b'"}', Refusal(f'the exchange says: "{"x" * 199}…"')),
        (b'{"error":' + b"[" * 200_000, None),
        (b'{"error":"\xff\xfe"}', None),
        (b'{"e":"serverShutdown","E":1767225600000}', Shutdown()),
        (b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1767225600000}}', Shutdown()),
        (b"not json", None),
        (b"", None),
        (b'{"id":1,"result":"\xff"}', None),
        (b'{"stream":"x","data":' * 20_000, None),
        (b"[" * 200_000, None),
        (b'{"result":null,"id":' + b"9" * 10_000 + b"}", None),
        (b'{"result":null,"id":true}', None),
        (b'{"result":null,"id":1.0}', None),
        (b'{"result":null,"id":"1"}', None),
        (b'{"id":1}', None),
        (b"[1]", None),
        (b'"serverShutdown"', None),
        (b'{"msg":"serverShutdown"}', None),
        (b'{"data":["serverShutdown"]}', None),
        (b'{"error":{"code":{"a":[1]},"msg":["x"]},"id":7}', Refusal('the exchange says: "…: …"', 7)),
        (b'{"error":[1,2],"id":1.5}', Refusal('the exchange says: "…"')),
        (b'{"error":"no","id":null}', Refusal('the exchange says: "no"')),
        (b'{"code":{"x":1},"msg":"' + b"y" * 10_000 + b'"}', Refusal(f'the exchange says: "…: {"y" * 196}…"')),
        (b'{"error":7,"id":2}', Refusal('the exchange says: "7"', 2)),
        (b'{"e":"somethingNew","E":1}', None),
    ],
)
def test_what_a_control_frame_means(frame: bytes, meaning: object) -> None:
    assert feed().channel_of(frame) == ""
    assert feed().control_of(frame) == meaning


def test_the_channel_of_data() -> None:
    assert feed().channel_of(b'{"stream":"1000satsusdt@kline_1m","data":{}}') == "1000satsusdt@kline_1m"


KINDS = ("aggTrade", "trade", "kline_1m", "kline_4h", "ticker", "depth@100ms", "bookTicker")
STREAMS = st.tuples(st.text("abcz019_", min_size=1, max_size=40), st.sampled_from(KINDS))


@given(st.lists(STREAMS, min_size=1, max_size=40), st.lists(st.integers(0, 2**53), min_size=1, max_size=3))
def test_each_stream_has_its_name_however_often_it_was_seen(streams: list[tuple[str, str]], numbers: list[int]) -> None:
    venue = feed()
    for number in (*numbers, *numbers):
        for symbol, kind in streams:
            frame = f'{{"stream":"{symbol}@{kind}","data":{{"u":{number},"e":"{kind}"}}}}'
            assert venue.channel_of(frame.encode()) == f"{symbol}@{kind}"
            assert venue.channel_of(f'{{"result":null,"id":{number}}}'.encode()) == ""
    assert venue.channel_of(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}') == ""


def test_names_may_be_long_or_written_in_escapes() -> None:
    long = f"{'a' * 60}usdt@depth@100ms"
    for _ in range(2):
        assert feed().channel_of(f'{{"stream":"{long}","data":{{}}}}'.encode()) == long
        assert feed().channel_of(b'{"stream":"\\u5e01usdt@trade","data":{}}') == "币usdt@trade"
        assert feed().channel_of('{"stream":"币usdt@trade","data":{}}'.encode()) == "币usdt@trade"


FRAGMENTS = st.sampled_from(
    [
        b'{"stream":"',
        b"btcusdt@aggTrade",
        b'"',
        b"@",
        b",",
        b'"data":',
        b"{",
        b"}",
        b'{"error":',
        b'"id":1',
        b"\\",
        b"\\u00",
    ]
)


@given(st.lists(FRAGMENTS | st.binary(max_size=20), max_size=20).map(b"".join))
def test_whatever_a_frame_contains_it_is_named_and_read_without_an_error(frame: bytes) -> None:
    venue = feed()
    assert venue.channel_of(frame) == venue.channel_of(frame)
    venue.control_of(frame)


def test_only_the_heads_of_streams_that_were_asked_for_are_remembered() -> None:
    venue = feed()
    venue.plans({"BTCUSDT": ("aggTrade",)})
    for number in range(1_000):
        assert venue.channel_of(b'{"stream":"x%d@trade","data":{}}' % number) == f"x{number}@trade"
        assert venue.channel_of(b'{"stream":"btcusdt@aggTrade","data":{}}') == "btcusdt@aggTrade"
    assert list(venue._names.values()) == ["btcusdt@aggTrade"]
