"""Markets of other venues than Binance, played without a server."""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from sources.replay.exchange.limits import Limits, Refusal
from sources.replay.market.market import PAUSE, Message
from sources.replay.market.playback import Playback
from sources.replay.venues.served import Served


class PlayedView:
    """What a dialect sees of an exchange whose market is played by hand."""

    def __init__(self, served: Served) -> None:
        self.market: Playback = served.market
        self.limits: Limits = served.dialect.limits
        self.skew_ms = 0

    @property
    def now_ms(self) -> int:
        return self.market.now_ms + self.skew_ms

    @property
    def true_ms(self) -> int:
        return self.market.now_ms

    def publish(self, messages: Sequence[Message]) -> None:
        raise AssertionError("what is played by hand has no clients")

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        raise AssertionError("what is played by hand has no loop")

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        return self.market.depth(symbol, limit)

    def charge(self, weight: int, now_s: float) -> Refusal | None:
        return None

    def used_weight(self, now_s: float) -> int:
        return 0

    def refusal(self, path: str) -> Refusal | None:
        return None


def played(market: Playback, wanted: Callable[[str], bool]) -> Iterator[Message]:
    """The wanted messages of a market, endless for a synthetic one."""
    return (message for message in market.play(wanted) if message.stream != PAUSE)


def play_until(market: Playback, time_ms: int) -> None:
    """Plays a market to a time; what it sends is not read."""
    for message in market.play(lambda _: False, lambda due_ms: due_ms <= time_ms):
        assert message.stream == PAUSE
        return
