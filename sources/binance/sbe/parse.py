"""Parses a poll of SBE messages into events of the model."""

from typing import Any

from flows.model import MarketEvent, RawFrames, Rejected, Trade
from sources.binance.parsed import Parsed, foreign, is_carried, is_retired, refused
from sources.binance.sbe.decode import SbeDecoder, end_of, is_sbe
from sources.frames import MOST_BYTES, reason_of, too_long


class SbeParser:
    """Parses SBE messages of one venue."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._decoder = SbeDecoder()

    def parse(self, frames: RawFrames, texts: list[bytes]) -> Parsed:
        """Parses the messages of a poll, each by itself; frames that are texts are put into `texts`. Never raises for
        the content of a frame.
        """
        decode, add_usual, most = self._decoder.decode, self._decoder.add_usual, MOST_BYTES
        runs: dict[str, tuple[str, list[MarketEvent]]] = {}
        of_trades: dict[bytes, list[Any]] = {}
        foreigners: dict[str, int] = {}
        rejected: list[Rejected] = []
        ignored = 0
        for payload in frames.payloads:
            if len(payload) <= most and add_usual(payload, of_trades):
                continue
            if not is_sbe(payload):
                texts.append(payload)
                continue
            try:
                found = decode(payload) if len(payload) <= most else too_long(payload)
            except Exception as error:  # noqa: BLE001 - whatever the decoder raises, only this frame is rejected
                reason = str(error) if isinstance(error, ValueError) else reason_of(error)
                name = self._decoder.stream_of(payload)
                rejected.append(refused(self._venue, reason, payload, frames, name))
                continue
            if found is None:
                ignored += 1
                continue
            name, symbol, events = found
            run = runs.get(name)
            if run is not None:
                run[1].extend(events)
            elif is_carried(name, frames.streams):
                runs[name] = symbol, events
                if events and type(events[0]) is Trade:
                    of_trades[end_of(symbol)] = events
            elif is_retired(name, frames.streams):
                ignored += 1
            else:
                foreigners[name] = foreigners.get(name, 0) + 1
        rejected += [foreign(self._venue, name, count, frames) for name, count in foreigners.items()]
        return Parsed([run for run in runs.values() if run[1]], rejected, ignored)
