"""Whatever a frame says, nothing raises: a finding is reproduced by its seed."""

import pytest

from flows.model import RawFrames, StreamNames
from flows.settings import Feed
from sources.coinbase import wire
from sources.coinbase.feed import CoinbaseFeed
from sources.coinbase.parse import CoinbaseParser
from sources.connection.frame_numbers import FrameNumbers
from tests.fakes.coinbase import advanced_frames, documented, exchange_frames
from tests.fakes.mutations import mutated
from tests.fakes.parsed import runs_of

FRAMES = 3_000
LONGEST = 20_000
"""Bytes of a frame that is changed: those of whole books are only slow."""
STREAMS = StreamNames(frozenset(f"{symbol}@{kind}" for symbol in ("BTC-USD", "ETH-USD") for kind in ("trade", "depth")))


@pytest.mark.parametrize("line", ["market", "books"])
def test_no_changed_frame_raises(line: str) -> None:
    documents = [
        documented(kind) for kind in (wire.MatchMessage, wire.HeartbeatMessage, wire.TickerMessage, wire.StatusMessage)
    ]
    recorded = exchange_frames() if line == "market" else advanced_frames()
    frames = [*documents, documented(wire.LevelsMessage), *(one for one in recorded if len(one) < LONGEST)]
    parser, feed = CoinbaseParser("coinbase"), CoinbaseFeed(Feed(venue="coinbase"))
    numbers = FrameNumbers(b'"sequence_num":')
    rejected = 0
    for seed in range(FRAMES):
        frame = mutated(frames[seed % len(frames)], seed, others=frames[:50]).frame
        numbers.missing(frame)
        feed.channel_of(frame)
        feed.control_of(frame)
        for streams in (None, STREAMS):
            parsed = parser.parse(RawFrames(line, [frame, frames[0]], 0, streams))
            assert sum(len(run) for _, run in runs_of(parsed)) + len(parsed.rejected) + parsed.ignored > 0
            for _, run in runs_of(parsed):
                assert len({type(event) for event in run}) == 1
        rejected += len(parsed.rejected)
    assert rejected > FRAMES // 10
