"""Whatever a frame or an answer says: no exception escapes the parser, the feed, the book or the REST client.

A finding is reproduced by its seed: `mutated(frame, seed)` of `tests.fakes.mutations` decides alone.
"""

import json
from itertools import count
from typing import Any

import pytest

from flows.clock import FeedClock, Now
from flows.model import LineDelta, LineSnapshot, StreamNames
from flows.operators.books.line_keeper import LineBookKeeper
from flows.operators.parse import Batch, Parse
from flows.operators.validate import Validate
from flows.queries import BookQuery, KlinesQuery, TradesQuery
from flows.settings import Feed
from sources.kraken.feed import KrakenFeed
from sources.kraken.parse import KrakenParser
from sources.kraken.rules import RULES
from sources.rest.client import VenueError
from tests.fakes.kraken_frames import (
    REST_PAIR,
    REST_SYMBOL,
    book_frame,
    ohlc_frame,
    polled,
    recorded_frames,
    rest_rows,
    ticker_frame,
    trade_frame,
)
from tests.fakes.mutations import mutated
from tests.sources.kraken.test_rest import Server, answer, served

FRAMES = 6_000
ANSWERS = 120
STREAMS = StreamNames(
    frozenset(
        f"{symbol}@{kind}"
        for symbol in ("BTC-USD", "ETH-USD")
        for kind in ("trade", "depth@10", "kline_1m", "kline_5m", "ticker@bbo")
    )
)


def frames() -> list[bytes]:
    """Every kind of frame; of the recorded ones the first of their kinds."""
    made = [
        trade_frame({}, {"trade_id": 2}),
        ohlc_frame(sent="2026-01-01T00:00:30.5Z", rows=[{}]),
        ticker_frame(timestamp="2026-07-07T23:00:04.590753Z"),
        book_frame("snapshot", "9.0 1.0; 8.0 2.0", "9.5 1.0", 1),
        b'{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USD"},"success":true,"req_id":1}',
        b'{"error":"Currency pair not supported X","method":"subscribe","success":false,"symbol":"X/USD","req_id":2}',
    ]
    return made + recorded_frames()[:120]


@pytest.mark.slow
@pytest.mark.parametrize("poll", [1, 7])
def test_no_frame_breaks_the_parser_the_checks_or_a_book(poll: int) -> None:
    originals = frames()
    parser, local = KrakenParser(), 0
    parse, validate = Parse("kraken", parser), Validate("kraken", FeedClock(lambda: local), RULES)
    keepers: dict[str, LineBookKeeper] = {}
    taken = 0
    for begin in range(0, FRAMES, poll):
        local += 100
        payloads = [
            mutated(originals[seed % len(originals)], seed, others=originals).frame
            for seed in range(begin, begin + poll)
        ]
        for item in validate(parse([polled(*payloads, streams=STREAMS)])):
            if isinstance(item, Batch) and isinstance(item.events[0], LineSnapshot | LineDelta):
                keeper = keepers.setdefault(item.key, LineBookKeeper(item.key, levels=5, every_ms=0, rules=RULES))
                keeper.on_events(item.events, Now(local, local))  # type: ignore[arg-type]
                taken += len(item.events)
    assert taken > 100
    assert set(keepers) <= {"kraken:BTC-USD", "kraken:ETH-USD"}


def test_no_frame_breaks_what_a_connection_does_with_it() -> None:
    originals = frames()
    feed = KrakenFeed(Feed.model_validate({"venue": "kraken", "symbols": ("BTC-USD",)}))
    feed.plans({"BTC-USD": ()})
    for seed in range(FRAMES):
        if seed % 50 == 0:
            feed.subscribe_requests(("BTC-USD@trade", "X-USD@trade"))
        frame = mutated(originals[seed % len(originals)], seed, others=originals).frame
        feed.channel_of(frame)
        feed.control_of(frame)


async def test_no_answer_of_rest_escapes_as_another_exception() -> None:
    bodies: dict[str, Any] = {
        "Trades": answer({REST_PAIR: rest_rows("http_trades")[:20], "last": "1762795433971744500"}),
        "OHLC": answer({REST_PAIR: rest_rows("http_ohlc")[:20], "last": 1}),
        "Depth": answer({REST_PAIR: {"bids": [["9.0", "1.0", 1]], "asks": [["10.0", "1.0", 1]]}}),
        "AssetPairs": answer({REST_PAIR: {"wsname": "XBT/USDT", "status": "online"}}),
        "SystemStatus": answer({"status": "online"}),
        "Time": answer({"unixtime": 1_762_795_433}),
    }
    texts = {name: json.dumps(body).encode() for name, body in bodies.items()}
    seeds = count()

    def changed(name: str) -> Any:
        return lambda _: mutated(texts[name], next(seeds), others=[*texts.values()]).frame

    begin = 1_762_777_020_000
    async with served(Server(**{name: changed(name) for name in texts})) as rest:
        rest.rate_limit.counter.limit = 1_000_000
        for _ in range(ANSWERS):
            for query in (
                rest.trades(TradesQuery(REST_SYMBOL, 10_218_208, 10_218_220, 1_762_795_433_000, 1_762_795_500_000)),
                rest.klines(KlinesQuery(REST_SYMBOL, "1m", begin, begin + 600_000)),
                rest.book(BookQuery(REST_SYMBOL, 100)),
                rest.instruments(),
                rest.time(),
            ):
                try:
                    await query
                except VenueError:
                    continue
