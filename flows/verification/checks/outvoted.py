"""Whether a stored candle may contradict the exchange's: the ground of the proof `theirs wrong`.

The flow gives that proof by the law of `flows.operators.candles.compare`; here it is applied to what is stored.
"""

from collections.abc import Mapping, Sequence

from flows.model import COMPLETE, Candle, Kline, timeframe_ms
from flows.operators.candles.compare import Period, differing_fields, is_borne_out
from flows.operators.candles.settle import THEIRS_WRONG, TRADES_SAY_OURS
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.ledger import Ledger


class Outvoted:
    """The candles of one instrument in a span of time, of every verified timeframe."""

    def __init__(
        self,
        stored: Mapping[str, Sequence[StoredCandle]],
        theirs: Mapping[str, Mapping[int, Kline]],
        ledger: Ledger,
        span: tuple[int, int],
    ) -> None:
        """`theirs` are the exchange's by timeframe and open time, as far as they are known; `span` are the open times
        `[begin, end)` of those `stored`, ms UTC.
        """
        self._stored = stored
        self._theirs = theirs
        self._ledger = ledger
        self._begin, self._end = span
        self._by_time: dict[str, dict[int, Candle]] = {}

    def has_no_ground(self, candle: Candle) -> bool:
        """Whether a candle claims that the exchange's is wrong, and nothing says so. Where a longer period is not
        verified as a whole, that is not known.
        """
        if candle.proof != "theirs wrong" or self._is_equal(candle):
            return False
        length = timeframe_ms(candle.timeframe)
        longer = [name for name in self._stored if timeframe_ms(name) > length]
        for name in longer:
            begin = candle.open_time - candle.open_time % timeframe_ms(name)
            end = begin + timeframe_ms(name)
            if begin < self._begin or end > self._end or self._is_borne_out(candle, name, begin, end):
                return False
        return bool(longer)

    def _is_borne_out(self, candle: Candle, longer: str, begin: int, end: int) -> bool:
        outer, length = self._of(longer).get(begin), timeframe_ms(candle.timeframe)
        same = self._of(candle.timeframe)

        def are_equal(first: int, last: int) -> bool:
            return all(time in same and self._is_equal(same[time]) for time in range(first, last, length))

        return is_borne_out(
            Period(candle.open_time, length),
            Period(begin, end - begin),
            is_outer_equal=outer is not None and self._is_equal(outer),
            are_equal=are_equal,
        )

    def _is_equal(self, candle: Candle) -> bool:
        """Whether the exchange says the same: its candle at hand, or else that of which the proof tells."""
        if candle.status not in COMPLETE:
            return False
        if (kline := self._theirs.get(candle.timeframe, {}).get(candle.open_time)) is not None:
            return not differing_fields(candle, kline)
        if candle.proof == "theirs wrong":
            outcomes = self._ledger.outcomes(candle.open_time, candle.close_time)
            return THEIRS_WRONG in outcomes or TRADES_SAY_OURS in outcomes
        return candle.proof == "equal"

    def _of(self, timeframe: str) -> Mapping[int, Candle]:
        if timeframe not in self._by_time:
            self._by_time[timeframe] = {one.candle.open_time: one.candle for one in self._stored[timeframe]}
        return self._by_time[timeframe]
