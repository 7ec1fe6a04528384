"""A tape holds what an exchange has sent, wrong or not: whatever is among the frames, the tape is played."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sources.record import TapeWriter
from sources.replay.faults.forms import BINANCE
from sources.replay.market.market import MarketKind, Message
from sources.replay.market.playback import Playback
from sources.replay.tape.left_out import NEAR_MS
from sources.replay.tape.tapes import playback_of, read_tapes
from sources.replay.venues.coinbase.dialect import taped_coinbase
from sources.replay.venues.kraken.dialect import taped_kraken
from tests.fakes.mutations import mutated
from tests.fakes.played import played
from tests.fakes.venue_peers import BEGIN, PEERS

RECORDED = ("@trade", "@aggTrade", "@depth@100ms", "@book-10", "@matches", "@level2_batch", "@market_trades")
"""Streams of the venues, by their ends."""
GOOD = 300
CHANGED = 400
WRONG = [b"", b"\n", b"<html>", b"<html>\n</html>", b"[]", b"1", b"null", b'"x"', b"{}", b"[" * 100_000, b"\xff\xfe"]


def frames_of(name: str) -> list[tuple[int, bytes]]:
    """Right frames of a venue, with the times of their receipt, ns."""
    peer = PEERS[name]
    served = peer.market([peer.instrument(one) for one in peer.symbols], seed=5, start_ms=BEGIN, trades_per_s=10.0)
    messages = islice(played(served.market, lambda stream: stream.endswith(RECORDED)), GOOD)
    frame = (BINANCE if name.startswith("binance") else served.dialect.forms).frame
    return [(one.due_ms * 1_000_000, frame(one, one.data)) for one in messages]


def market_of(name: str, folder: Path, frames: Sequence[tuple[int, bytes]]) -> Playback:
    """The market of a tape with these frames."""
    path = folder / f"{name}-{len(frames)}.tape.zst"
    tape = TapeWriter(path, venue=name, symbols=PEERS[name].symbols)
    for received_ns, frame in frames:
        tape.write(frame, received_ns)
    tape.close()
    if name in ("kraken", "coinbase"):
        return (taped_kraken if name == "kraken" else taped_coinbase)([path]).market
    kind: MarketKind = "spot" if name == "binance" else "usdm"
    return playback_of(read_tapes([path], kind=kind), kind=kind)


def all_of(market: Playback) -> list[Message]:
    return list(played(market, lambda stream: stream.endswith(RECORDED)))


@pytest.mark.parametrize("name", sorted(PEERS))
def test_what_no_market_can_take_changes_nothing(name: str, tmp_path: Path) -> None:
    good = frames_of(name)
    expected = all_of(market_of(name, tmp_path, good))
    mixed = [(at, frame) for number, (at, true) in enumerate(good) for frame in (WRONG[number % len(WRONG)], true)]
    with capture_logs() as logs:
        assert all_of(market_of(name, tmp_path, mixed)) == expected
    assert [one["event"] for one in logs if one["log_level"] != "info"] == ["tape_messages_left_out"]
    assert len(expected) >= GOOD // 2


@pytest.mark.parametrize("name", sorted(PEERS))
def test_frames_that_are_changed_at_random_are_played_or_left_out(name: str, tmp_path: Path) -> None:
    good = frames_of(name)
    frames = [frame for _, frame in good]
    changed = [
        (at, mutated(frame, seed, others=frames).frame)
        for seed in range(CHANGED)
        for at, frame in (good[seed * 7 % len(good)],)
    ]
    begin, end = good[0][0], good[-1][0]
    found = all_of(market_of(name, tmp_path, sorted(good + changed)))
    assert len(found) >= GOOD // 2
    assert all(begin // 1_000_000 - NEAR_MS <= one.due_ms <= end // 1_000_000 + NEAR_MS for one in found)
