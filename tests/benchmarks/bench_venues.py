"""Venues other than Binance: trades to six candles in the engine, and books with checksums; no sockets, no stores.

As many frames as in `bench_flow`: starting the engine costs as much as some thousand trades, and is none of theirs. A
frame has one trade, as all of Coinbase's and seven of ten recorded ones of Kraken, which puts the trades of one moment
into one (1.7 on average). Coinbase's heartbeats, one a second and instrument, would be a hundredth of the frames.
"""

import gzip
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
from bytewax.testing import run_main

from flows.clock import Now
from flows.graph import Sinks, market_flow
from flows.model import Incident, LineDelta, LineSnapshot, RawFrames
from flows.operators.books.line_keeper import LineBookKeeper
from flows.settings import Feed
from sources.coinbase import wire as coinbase_wire
from sources.kraken import wire as kraken_wire
from sources.kraken.parse import KrakenParser
from sources.kraken.rules import RULES as KRAKEN_RULES
from sources.venue import Venue
from sources.venues import VENUES
from tests.benchmarks.bench_flow import Nowhere
from tests.benchmarks.market import BEGIN_MS, PolledFrames
from tests.benchmarks.rows import Row, interleaved
from tests.fakes.recordings import DATA

FRAMES = 300_000
SYMBOLS = 50
TRADES_PER_S = 5_000
POLL = 500
ROUNDS = 5
BOOK_ROUNDS = 7


class MadeUp(NamedTuple):
    """A trade of a made-up market, as texts."""

    coin: str
    id: int
    side: str
    price: str
    quantity: str
    time: str


def made_up_trades(count: int, *, seed: int = 7) -> Iterator[MadeUp]:
    """Trades in the order of their times, ids of every instrument rising by one."""
    chance = random.Random(seed)
    prices = [chance.uniform(0.5, 60_000) for _ in range(SYMBOLS)]
    ids = [1_000_000 * (index + 1) for index in range(SYMBOLS)]
    for number in range(count):
        index = chance.randrange(SYMBOLS)
        prices[index] *= 1 + chance.gauss(0, 1e-5)
        ids[index] += 1
        micros = BEGIN_MS * 1_000 + number * 1_000_000 // TRADES_PER_S
        time = f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%dT%H:%M:%S}.{micros % 1_000_000:06}Z"
        side, quantity = chance.choice(("buy", "sell")), max(chance.expovariate(3), 1e-8)
        yield MadeUp(f"COIN{index:02}", ids[index], side, f"{prices[index]:.8f}", f"{quantity:.8f}", time)


def kraken_frame(trade: MadeUp) -> bytes:
    """A frame of one trade."""
    return (
        f'{{"channel":"trade","type":"update","data":[{{"symbol":"{trade.coin}/USD","side":"{trade.side}",'
        f'"price":{trade.price},"qty":{trade.quantity},"ord_type":"limit","trade_id":{trade.id},'
        f'"timestamp":"{trade.time}"}}]}}'
    ).encode()


def coinbase_frame(trade: MadeUp) -> bytes:
    """The same at Coinbase."""
    return (
        f'{{"type":"match","trade_id":{trade.id},"maker_order_id":"6b380eba-fd1d-43a8-91a0-fdb06e6ce87f",'
        f'"taker_order_id":"b3639a38-ae66-493c-96ba-d2319e503590","side":"{trade.side}","size":"{trade.quantity}",'
        f'"price":"{trade.price}","product_id":"{trade.coin}-USD","sequence":{trade.id},"time":"{trade.time}"}}'
    ).encode()


def decode_only(frames: list[bytes], decoder: msgspec.json.Decoder[Any]) -> None:
    """The bare typed decoding of the frames, one by one."""
    decode = decoder.decode
    for frame in frames:
        decode(frame)


def run_venue(frames: list[bytes], venue: Venue) -> None:
    """Frames ▶ parse ▶ validate ▶ sequence ▶ six candles, as in the flow."""
    run_main(
        market_flow(
            source=PolledFrames(frames, size=POLL),
            parser=venue.parser(),
            feed=Feed.model_validate({"venue": venue.name, "streams": ("trade",)}),
            sinks=Sinks(candles=Nowhere()),
            rules=venue.rules,
        )
    )


def recorded_books() -> list[bytes]:
    """The recorded messages of two books; none where the recording is missing."""
    path = DATA / "kraken-v2-2026-07-07" / "live-btc-eth.ndjson.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines() if path.exists() else []
    return [line for line in lines if line.startswith(b'{"channel":"book"')]


def keep_books(frames: list[bytes], *, poll: int) -> None:
    """Parse, book and checksum of each message; 60 messages a second."""
    parser, keepers = KrakenParser(), dict[str, LineBookKeeper]()
    for begin in range(0, len(frames), poll):
        for symbol, events in parser.parse(RawFrames("book", frames[begin : begin + poll], 0)).events:
            if not isinstance(events[0], LineSnapshot | LineDelta):
                continue
            if symbol not in keepers:
                keepers[symbol] = LineBookKeeper(f"kraken:{symbol}", levels=20, every_ms=100, rules=KRAKEN_RULES)
            out = keepers[symbol].on_events(events, Now(0, begin * 1_000 // 60))  # type: ignore[arg-type]
            if any(isinstance(item, Incident) for item in out):
                raise RuntimeError("a checksum of the benchmark's recording differs")


def trades_row(venue: Venue, frame_of: Callable[[MadeUp], bytes], decoder: msgspec.json.Decoder[Any]) -> Row:
    """Trades of a venue against the bare decoding of their frames."""
    frames = [frame_of(trade) for trade in made_up_trades(FRAMES)]
    bare, flow = interleaved(ROUNDS, partial(decode_only, frames, decoder), partial(run_venue, frames, venue))
    each, plain = (f"{seconds * 1e6 / FRAMES:.2f} µs" for seconds in (flow, bare))
    what = f"{venue.name} trades to candles, {POLL} frames a poll"
    return Row(what, f"{each} a trade", f"bare decoding, {plain}", bare / flow, 0.2)


def run() -> list[Row]:
    """Trades against bare decoding; Kraken's books by the number of updates a second."""
    rows = [
        trades_row(VENUES["kraken"], kraken_frame, msgspec.json.Decoder(kraken_wire.Message)),
        trades_row(
            VENUES["coinbase"], coinbase_frame, msgspec.json.Decoder(coinbase_wire.ExchangeMessage, strict=False)
        ),
    ]
    books = recorded_books()
    if books:
        [single] = interleaved(BOOK_ROUNDS, partial(keep_books, books, poll=1))
        each = f"{single * 1e6 / len(books):.1f} µs an update"
        rows.append(
            Row("kraken books with checksum, single frames", each, "updates a second", len(books) / single, 5_000)
        )
    return rows
