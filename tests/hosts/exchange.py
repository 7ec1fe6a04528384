"""The exchange of the hosts, in a process of its own: what it makes takes no time of who looks at the hosts."""

from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.market.market import Market
from sources.replay.synthetic.market import SyntheticMarket
from tests.e2e.test_crash import SPEED, tape
from tests.fakes.candles import BEGIN
from tests.fakes.twins import SYMBOLS
from tests.hosts.companion import Companion, Line


class Exchange:
    """An exchange that waits for `resume`."""

    def __init__(self, host: str, per_s: float) -> None:
        self._companion = Companion(_serve, host, per_s)
        self.ws_url: str
        self.rest_url: str
        self.ws_url, self.rest_url = self._companion.first

    def pause(self) -> None:
        """Stops the market and its time."""
        self._companion.call("pause")

    def resume(self) -> None:
        """Resumes the market."""
        self._companion.call("resume")

    def close(self) -> None:
        """Ends it."""
        self._companion.close()


def _serve(line: Line, host: str, per_s: float) -> None:
    with exchange_in_thread(_market(per_s), speed=SPEED, paused=True, start_now=True, host=host) as exchange:
        line.send((exchange.ws_url, exchange.rest_url))
        while True:
            (what,) = line.recv()
            line.send(getattr(exchange, what)())


def _market(per_s: float) -> Market:
    """A recording, or a made market of so many trades a second of this machine."""
    if not per_s:
        return tape(loop=True)
    return SyntheticMarket("spot", SYMBOLS, seed=7, start_ms=BEGIN, trades_per_s=per_s / len(SYMBOLS) / SPEED)
