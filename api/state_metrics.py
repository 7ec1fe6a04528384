"""Metrics of how current the data is: what the flow publishes of its instruments, as a reader sees it."""

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from api.live.freshness import CURRENT, OF_CANDLES, UNKNOWN, unknown_state
from api.live.messages import HubMessage
from api.live.state import VenueState
from flows.model import timeframe_ms
from sinks.hub.payloads import InstrumentBody


class ClosedCandles:
    """The end of the newest closed candle of each instrument, in the shortest timeframe that was seen."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], tuple[int, int]] = {}  # length and end, by venue and symbol

    def take(self, message: HubMessage) -> None:
        """Takes a version of a candle."""
        body = message.body
        if not body.candle.is_closed:
            return
        key, length = (message.venue, body.symbol), timeframe_ms(body.timeframe)
        known = self._newest.get(key)
        end = body.candle.open_time + length
        if known is None or length < known[0] or (length == known[0] and end > known[1]):
            self._newest[key] = length, end

    def late_ms(self, venue: str, symbol: str, now_ms: int) -> int | None:
        """How long the next closed candle is overdue, ms; 0 before its time, None where none has been seen."""
        known = self._newest.get((venue, symbol))
        return None if known is None else max(0, now_ms - known[1] - known[0])

    def forget_others(self, keep: Iterable[tuple[str, str]]) -> None:
        """Drops instruments that are not followed any more."""
        kept = frozenset(keep)
        self._newest = {key: known for key, known in self._newest.items() if key in kept}


def state_metrics(venue_states: Iterable[VenueState], closed: ClosedCandles) -> Iterator[Metric]:
    """The states of flows, instruments and channels: one sample for an instrument, and one for each state that a kind
    of channels is in.
    """
    alive = GaugeMetricFamily("market_data_flow_alive", "Whether the flow gives signs of life", labels=["venue"])
    states = GaugeMetricFamily(
        "market_data_instrument_state",
        "1 for the state of an instrument, on each line that carries it",
        labels=["venue", "line", "symbol", "state"],
    )
    channels = GaugeMetricFamily(
        "market_data_channels", "Instruments by channel and its state", labels=["venue", "channel", "state"]
    )
    late = GaugeMetricFamily(
        "market_data_candle_late_seconds",
        "How long the next closed candle of current data is overdue",
        labels=["venue", "symbol"],
    )
    followed: list[tuple[str, str]] = []
    for venue_state in venue_states:
        venue, is_unknown = venue_state.venue, unknown_state(venue_state) is not None
        alive.add_metric([venue], venue_state.publishes_states and not is_unknown)
        counts: Counter[tuple[str, str]] = Counter()
        lines = _lines_of(venue_state)
        for symbol, body in sorted(venue_state.states.items()):
            followed.append((venue, symbol))
            for line in lines.get(symbol, [""]):
                states.add_metric([venue, line, symbol, UNKNOWN if is_unknown else body.state], 1)
            counts.update((one.channel, UNKNOWN if is_unknown else one.state) for one in body.channels)
            overdue = closed.late_ms(venue, symbol, venue_state.clock.now_ms)
            if overdue is not None and not is_unknown and _has_current_candles(body):
                late.add_metric([venue, symbol], overdue / 1_000)
        for (channel, state), count in sorted(counts.items()):
            channels.add_metric([venue, channel, state], count)
    closed.forget_others(followed)
    yield alive
    yield states
    yield channels
    yield late


def _lines_of(venue_state: VenueState) -> dict[str, list[str]]:
    """The lines of each symbol."""
    found: dict[str, list[str]] = {}
    for message in venue_state.connections():
        for symbol in message.body.symbols:
            found.setdefault(symbol, []).append(message.body.line)
    return found


def _has_current_candles(body: InstrumentBody) -> bool:
    known = {one.channel: one.state for one in body.channels}
    state = next((known[channel] for channel in OF_CANDLES if channel in known), "")
    return state in CURRENT
