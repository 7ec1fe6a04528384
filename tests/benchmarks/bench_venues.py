"""Venues other than Binance: trades to six candles in the engine, and books with checksums; no sockets, no stores."""

import gzip
import random
from datetime import UTC, datetime
from functools import partial

import msgspec
from bytewax.testing import run_main

from flows.clock import Now
from flows.graph import Sinks, market_flow
from flows.model import Incident, LineDelta, LineSnapshot, RawFrames
from flows.operators.books.line_keeper import LineBookKeeper
from flows.settings import Feed
from sources.kraken import wire as kraken_wire
from sources.kraken.parse import KrakenParser
from sources.kraken.rules import RULES as KRAKEN_RULES
from tests.benchmarks.bench_flow import Nowhere
from tests.benchmarks.market import BEGIN_MS, PolledFrames
from tests.benchmarks.rows import Row, interleaved
from tests.fakes.recordings import DATA

FRAMES = 100_000
SYMBOLS = 50
TRADES_PER_S = 5_000
POLL = 500
ROUNDS = 5
BOOK_ROUNDS = 7


def kraken_trade_frames(count: int, *, seed: int = 7) -> list[bytes]:
    """Frames of one trade each, in the order of their times, ids of every instrument rising by one."""
    chance = random.Random(seed)
    prices = [chance.uniform(0.5, 60_000) for _ in range(SYMBOLS)]
    ids = [1_000_000 * (index + 1) for index in range(SYMBOLS)]
    frames = []
    for number in range(count):
        index = chance.randrange(SYMBOLS)
        prices[index] *= 1 + chance.gauss(0, 1e-5)
        ids[index] += 1
        micros = BEGIN_MS * 1_000 + number * 1_000_000 // TRADES_PER_S
        time = f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%dT%H:%M:%S}.{micros % 1_000_000:06}Z"
        side, quantity = chance.choice(("buy", "sell")), max(chance.expovariate(3), 1e-8)
        frames.append(
            f'{{"channel":"trade","type":"update","data":[{{"symbol":"COIN{index:02}/USD","side":"{side}",'
            f'"price":{prices[index]:.8f},"qty":{quantity:.8f},"ord_type":"limit","trade_id":{ids[index]},'
            f'"timestamp":"{time}"}}]}}'.encode()
        )
    return frames


def decode_only(frames: list[bytes]) -> None:
    """The bare typed decoding of the frames, one by one."""
    decode = msgspec.json.Decoder(kraken_wire.Message).decode
    for frame in frames:
        decode(frame)


def run_kraken(frames: list[bytes]) -> None:
    """Frames ▶ parse ▶ validate ▶ sequence ▶ six candles, as in the flow."""
    run_main(
        market_flow(
            source=PolledFrames(frames, size=POLL),
            parser=KrakenParser(),
            feed=Feed(venue="kraken", streams=("trade",)),
            sinks=Sinks(candles=Nowhere()),
            rules=KRAKEN_RULES,
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


def run() -> list[Row]:
    """Kraken's trades against bare decoding; its books by the number of updates a second."""
    frames = kraken_trade_frames(FRAMES)
    bare, flow = interleaved(ROUNDS, partial(decode_only, frames), partial(run_kraken, frames))
    per_frame = 1e6 / FRAMES
    rows = [
        Row(f"kraken trades to candles, {POLL} frames a poll", f"{flow * per_frame:.2f} µs a trade",
            f"bare decoding, {bare * per_frame:.2f} µs", bare / flow, 0.2),
    ]  # fmt: skip
    books = recorded_books()
    if books:
        [single] = interleaved(BOOK_ROUNDS, partial(keep_books, books, poll=1))
        each = f"{single * 1e6 / len(books):.1f} µs an update"
        rows.append(
            Row("kraken books with checksum, single frames", each, "updates a second", len(books) / single, 5_000)
        )
    return rows
