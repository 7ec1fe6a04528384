"""What the proof of one candle means for the shorter and longer ones that hold the same trades.

The laws:
* A candle holds the trades of the shorter ones inside it. One that is refuted puts those in doubt, and the longer ones
  around it: they become `unproven`. One that is confirmed takes the doubt away from those inside it, but not from what
  holds or surrounds a refuted one. Both leave alone what has a proof of its own, or is known to lack trades.
* A confirmed candle bears out one inside it that the exchange contradicts by the law of `compare`.
* A candle vouches for those inside it only if it was made of the same trades throughout. Where the exchange's running
  kline stands for some of them, that it is equal says nothing about the trades inside.
* A candle whose trades REST has given with other values is never reinstated.
* A kline that contradicts trades which the kline of a longer period bears out is outvoted: the trades stand. Where the
  longer kline, or one of the others inside it, comes later, the candle that was refuted is reinstated.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import structs

from flows.model import COMPLETE, Candle, CandleStatus, TradeBatch
from flows.operators.candles.compare import Period, is_borne_out
from flows.operators.candles.made_of import is_made_of
from flows.operators.candles.track import Track, shortest_of
from flows.operators.candles.versions import Published, confirmed

OUTVOTED = "theirs wrong: the trades and the exchange's kline of a longer period agree"
"""Outcome of a mismatch in which a longer period decides."""


class Doubt:
    """Confirmation and doubt between the timeframes of one instrument."""

    def __init__(self, tracks: Mapping[str, Track]) -> None:
        self._tracks = tracks

    # --- what is known ---

    def is_confirmed_around(self, track: Track, inner: Candle) -> bool:
        """Whether the kline of a longer period, and those of all others inside it, are equal to the candles of the same
        trades.
        """
        period = Period(inner.open_time, track.length)
        return any(
            is_borne_out(
                period,
                Period(outer.open_time, longer.length),
                is_outer_equal=self._is_confirmed(longer, outer),
                are_equal=track.agreed.hold_all,
            )
            for longer, outer in self._published_around(track, inner)
        )

    def is_refuted_inside(self, track: Track, outer: Candle) -> bool:
        """Whether the exchange contradicts a shorter candle with the same trades, or REST has yet to say that it does
        not.
        """
        end = outer.open_time + track.length
        return any(
            outer.open_time <= open_time < end
            for shorter in self._shorter(track)
            for open_time in (*shorter.refuted, *shorter.contradicted)
        )

    # --- what follows ---

    def confirm(self, track: Track, candle: Candle) -> list[Published]:
        """A kline is equal to the candle: it has the right trades."""
        track.agreed.add(candle.open_time)
        out = self._reinstate(track)
        if candle.open_time in track.seeded:
            return out
        for shorter in self._shorter(track):
            out += self._reinstate(shorter)
        return [*out, *self._judge_inside(track, candle, "final")]

    def refute(self, track: Track, candle: Candle) -> list[Published]:
        """The exchange's version has taken the place of the candle: its trades may be wrong, wherever they are."""
        return [*self._judge_inside(track, candle, "unproven"), *self.doubt_around(track, candle)]

    def replace_trades(self, batch: TradeBatch, open_time: int) -> None:
        """REST has given the trades of a refuted candle of the shortest timeframe. If they make another one than ours,
        that and the longer ones around it are not reinstated.
        """
        known = shortest_of(self._tracks).refuted.get(open_time)
        if known is None or is_made_of(known[0], batch.trades):
            return
        for track in self._tracks.values():
            around = open_time - open_time % track.length
            if around in track.refuted:
                track.refuted[around] = None

    def _judge_inside(self, track: Track, outer: Candle, verdict: Literal["final", "unproven"]) -> list[Published]:
        before: tuple[CandleStatus, ...] = ("unproven",) if verdict == "final" else COMPLETE
        out: list[Published] = []
        for shorter in self._shorter(track):
            if not shorter.published:
                continue
            for open_time in range(outer.open_time, outer.open_time + track.length, shorter.length):
                inner = shorter.published.get(open_time)
                if inner is None or inner.proof or inner.status not in before:
                    continue
                if verdict == "unproven" or not self._is_in_doubt(shorter, inner, within=track.length):
                    out += shorter.publish(structs.replace(inner, status=verdict))
        return out

    def _is_in_doubt(self, track: Track, inner: Candle, *, within: int) -> bool:
        """Whether the exchange contradicts an unproven candle, one inside it, or one around it that is shorter than
        `within`.
        """
        if inner.open_time in track.disputed:
            return True
        return self.is_refuted_inside(track, inner) or any(
            longer.length < within and (outer.proof == "ours wrong" or outer.open_time in longer.contradicted)
            for longer, outer in self._published_around(track, inner)
        )

    def _reinstate(self, track: Track) -> list[Published]:
        """Candles that were refuted, and that a longer one bears out now, are published again; the upheld and the
        contradicted ones have their proof.
        """
        out: list[Published] = []
        for open_time, known in [*track.refuted.items(), *track.upheld.items(), *track.contradicted.items()]:
            if known is None or not self.is_confirmed_around(track, known[0]):
                continue
            ours, kline = known
            track.refuted.pop(open_time, None)
            track.upheld.pop(open_time, None)
            track.decide(open_time)
            out += track.publish(confirmed(ours), "theirs wrong")
            out += track.mismatch(ours, kline, OUTVOTED)
            for longer, outer in self._confirmed_around(track, ours):
                out += self._judge_inside(longer, outer, "final")
        return out

    def doubt_around(self, track: Track, inner: Candle) -> list[Published]:
        """The longer candles of the same trades are not known to be right any longer."""
        out: list[Published] = []
        for longer, outer in self._published_around(track, inner):
            if outer.status in COMPLETE and not outer.proof:
                out += longer.publish(structs.replace(outer, status="unproven"))
        return out

    # --- timeframes ---

    def _shorter(self, track: Track) -> Iterator[Track]:
        return (shorter for shorter in self._tracks.values() if shorter.length < track.length)

    def _confirmed_around(self, track: Track, inner: Candle) -> list[tuple[Track, Candle]]:
        """The longer candles with a kline equal to the same trades throughout."""
        return [
            (longer, outer)
            for longer, outer in self._published_around(track, inner)
            if self._is_confirmed(longer, outer)
        ]

    @staticmethod
    def _is_confirmed(track: Track, candle: Candle) -> bool:
        """Whether its kline is equal to the same trades throughout."""
        return candle.open_time in track.agreed and candle.open_time not in track.seeded

    def _published_around(self, track: Track, inner: Candle) -> list[tuple[Track, Candle]]:
        return [
            (longer, outer)
            for longer in self._tracks.values()
            if longer.length > track.length
            and (outer := longer.published.get(inner.open_time - inner.open_time % longer.length)) is not None
        ]
