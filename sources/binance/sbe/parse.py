"""Parses a poll of SBE messages into events of the model."""

from collections.abc import Sequence
from typing import Any

from flows.model import MarketEvent, RawFrames, Rejected, StreamNames, Trade
from sources.binance.parsed import Parsed, foreign, is_carried, is_retired, refused
from sources.binance.sbe.decode import SbeDecoder, end_of, is_sbe
from sources.frames import MOST_BYTES, OfConnections, reason_of, too_long


class SbeParser:
    """Parses SBE messages of one venue."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._decoder = SbeDecoder()
        self._connections = OfConnections(_no_symbols)

    def parse(self, frames: RawFrames, texts: list[bytes]) -> Parsed:
        """Parses the messages of a poll, each by itself; frames that are texts are put into `texts`. Never raises for
        the content of a frame.
        """
        take_usual, payloads = self._decoder.take_usual, frames.payloads
        known, trades = self._connections.of(frames.streams), list[Trade]()
        poll = _Poll(self._venue, self._decoder, frames, known, trades)
        at, count = take_usual(payloads, 0, known, trades), len(payloads)
        while at < count:
            poll.take(payloads[at], texts)
            at = take_usual(payloads, at + 1, known, trades)
        return poll.parsed() if poll.is_used else Parsed([], [], 0, trades=trades or ())


class _Poll:
    """The messages of a poll that are not usual: of streams that have brought nothing yet, of books, and whatever is
    wrong.
    """

    def __init__(
        self, venue: str, decoder: SbeDecoder, frames: RawFrames, known: dict[bytes, str], trades: list[Trade]
    ) -> None:
        """`known` are the symbols whose streams have brought trades before, by `end_of`: theirs are put to `trades`."""
        self.is_used = False
        self._venue, self._decoder, self._frames = venue, decoder, frames
        self._known, self._trades = known, trades
        self._runs: dict[str, tuple[str, list[MarketEvent]]] = {}
        self._foreigners: dict[str, int] = {}
        self._rejected: list[Rejected] = []
        self._ignored = 0

    def take(self, payload: bytes, texts: list[bytes]) -> None:
        """Parses a message, or puts it to the texts."""
        self.is_used = True
        if not is_sbe(payload):
            texts.append(payload)
            return
        try:
            found = self._decoder.decode(payload) if len(payload) <= MOST_BYTES else too_long(payload)
        except Exception as error:  # noqa: BLE001 - whatever the decoder raises, only this frame is rejected
            reason = str(error) if isinstance(error, ValueError) else reason_of(error)
            name = self._decoder.stream_of(payload)
            self._rejected.append(refused(self._venue, reason, payload, self._frames, name))
            return
        if found is None:
            self._ignored += 1
        else:
            self._add(*found)

    def _add(self, name: str, symbol: str, events: Sequence[Any]) -> None:
        run = self._runs.get(name)
        if run is not None:
            run[1].extend(events)
        elif not is_carried(name, self._frames.streams):
            if is_retired(name, self._frames.streams):
                self._ignored += 1
            else:
                self._foreigners[name] = self._foreigners.get(name, 0) + 1
        elif events and type(events[0]) is Trade and end_of(symbol) in self._known:
            self._trades.extend(events)
        else:
            self._runs[name] = symbol, [*events]

    def parsed(self) -> Parsed:
        """All of the poll. Streams that have brought their first trades are known from now on."""
        runs = [run for run in self._runs.values() if run[1]]
        self._known.update({end_of(symbol): symbol for symbol, events in runs if type(events[0]) is Trade})
        for name, count in self._foreigners.items():
            self._rejected.append(foreign(self._venue, name, count, self._frames))
        return Parsed(runs, self._rejected, self._ignored, trades=self._trades or ())


def _no_symbols(_: StreamNames | None) -> dict[bytes, str]:
    """What is known of a new connection."""
    return {}
