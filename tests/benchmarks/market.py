"""Frames of a made-up market for the benchmarks: aggTrades of many symbols at a steady rate, as Binance words them."""

import random
from collections.abc import Iterator
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.model import Flush, RawFrames
from sources.replay.market.market import Message

BEGIN_MS = 1_767_225_600_000
SOLD_SHARE = 0.5
FILLS = 2.6
"""Trades of an order that are of the same moment: as in 34,419 recorded ones of BTCUSDT and ETHUSDT (2024-08-08)."""


def symbols_of(count: int) -> tuple[str, ...]:
    """Their names."""
    return tuple(f"COIN{index:02d}USDT" for index in range(count))


def agg_trade_frames(*, count: int, symbols: int, trades_per_s: int, seed: int = 7) -> list[bytes]:
    """`count` combined-stream frames, in the order of their times, ids of every symbol rising by one."""
    rng = random.Random(seed)
    names = symbols_of(symbols)
    prices = [rng.uniform(0.5, 60_000) for _ in names]
    ids = [1_000_000 * (index + 1) for index in range(symbols)]
    frames = []
    for number in range(count):
        index = rng.randrange(symbols)
        prices[index] *= 1 + rng.gauss(0, 1e-5)
        ids[index] += 1
        time = BEGIN_MS + number * 1_000 // trades_per_s
        name = names[index]
        price, maker = f"{prices[index]:.8f}", "true" if rng.random() < SOLD_SHARE else "false"
        quantity, number_of_it = f"{max(rng.expovariate(3), 1e-8):.8f}", ids[index]
        frames.append(
            f'{{"stream":"{name.lower()}@aggTrade","data":{{"e":"aggTrade","E":{time + 2},"s":"{name}",'
            f'"a":{number_of_it},"p":"{price}","q":"{quantity}","f":{number_of_it},"l":{number_of_it},"T":{time},'
            f'"m":{maker},"M":true}}}}'.encode()
        )
    return frames


def single_trades(*, count: int, symbols: int, trades_per_s: int, seed: int = 7) -> Iterator[list[Message]]:
    """As many single trades, by orders: those of one are of the same moment, `FILLS` on average."""
    rng = random.Random(seed)
    names = symbols_of(symbols)
    prices = [rng.uniform(0.5, 60_000) for _ in names]
    ids = [1_000_000 * (index + 1) for index in range(symbols)]
    number = 0
    while number < count:
        index = rng.randrange(symbols)
        time = BEGIN_MS + number * 1_000 // trades_per_s
        maker = "true" if rng.random() < SOLD_SHARE else "false"
        name, order = names[index], list[Message]()
        while number < count and (not order or rng.random() < 1 - 1 / FILLS):
            prices[index] *= 1 + rng.gauss(0, 1e-5)
            ids[index] += 1
            number += 1
            payload = (
                f'{{"e":"trade","E":{time + 2},"s":"{name}","t":{ids[index]},"p":"{prices[index]:.8f}",'
                f'"q":"{max(rng.expovariate(3), 1e-8):.8f}","T":{time},"m":{maker},"M":true}}'
            )
            order.append(Message(time, f"{name.lower()}@trade", payload.encode()))
        yield order


class _Polls(StatefulSourcePartition[Any, None]):
    def __init__(self, frames: list[bytes], size: int) -> None:
        self._frames = frames
        self._size = size
        self._start = 0

    def next_batch(self) -> list[Any]:
        start, self._start = self._start, self._start + self._size
        if start >= len(self._frames):
            raise StopIteration
        pulse = Flush(final=self._start >= len(self._frames))
        return [RawFrames("market", self._frames[start : self._start], 0), pulse]

    def snapshot(self) -> None:
        return None


class PolledFrames(FixedPartitionedSource[Any, None]):
    """Frames read directly, `size` a poll, each poll ending as a source ends it when it has nothing more."""

    def __init__(self, frames: list[bytes], *, size: int) -> None:
        self._frames = frames
        self._size = size

    def list_parts(self) -> list[str]:
        return ["shard-00"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Polls:
        return _Polls(self._frames, self._size)
