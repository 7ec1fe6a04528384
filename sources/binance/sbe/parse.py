"""Parses a poll of SBE messages into events of the model."""

from collections.abc import Iterable

from flows.model import MarketEvent, RawFrames, Rejected
from sources.binance.parsed import Parsed, foreign, is_carried, is_retired, refused
from sources.binance.sbe.decode import SbeDecoder
from sources.frames import MOST_BYTES, reason_of, too_long


class SbeParser:
    """Parses SBE messages of one venue."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._decoder = SbeDecoder()

    def parse(self, payloads: Iterable[bytes], frames: RawFrames) -> Parsed:
        """Parses these frames of a poll, each by itself. Never raises for the content of a frame."""
        decode, most = self._decoder.decode, MOST_BYTES
        runs: dict[str, tuple[str, list[MarketEvent]]] = {}
        foreigners: dict[str, int] = {}
        rejected: list[Rejected] = []
        ignored = 0
        for payload in payloads:
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
            elif is_retired(name, frames.streams):
                ignored += 1
            else:
                foreigners[name] = foreigners.get(name, 0) + 1
        rejected += [foreign(self._venue, name, count, frames) for name, count in foreigners.items()]
        return Parsed([run for run in runs.values() if run[1]], rejected, ignored)
