"""The times of files for which a checksum of the exchange vouches."""

from collections import defaultdict

from flows.model import Candle, Coverage, Kline, Origin


class VouchedTimes:
    """The times and kinds for which a checksum vouches. The `Coverage` of a file comes before its contents."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        """By symbol and timeframe, empty for trades: times `[begin, end)`, ms UTC."""

    def take(self, coverage: Coverage) -> None:
        """Takes the coverage of a file."""
        for symbol in coverage.symbols if coverage.vouched == "all" else ():
            times = self._times[symbol, coverage.timeframe]
            begin = times.pop()[0] if times and times[-1][1] == coverage.begin else coverage.begin
            times.append((begin, coverage.end))

    def origin_of(self, candle: Candle) -> Origin:
        """Where a candle that was made of the files comes from."""
        span = candle.open_time, candle.close_time
        is_kline_vouched = self._cover(candle.symbol, candle.timeframe, *span)
        return Origin(self._cover(candle.symbol, "", *span), "checksum" if is_kline_vouched else "file")

    def vouch_against(self, candle: Candle, kline: Kline) -> bool:
        """Whether the trades of a candle are vouched for, and the kline of the same period is not."""
        span = candle.open_time, candle.close_time
        return self._cover(candle.symbol, "", *span) and not self._cover(candle.symbol, kline.timeframe, *span)

    def _cover(self, symbol: str, kind: str, first_ms: int, last_ms: int) -> bool:
        return any(begin <= first_ms and last_ms < end for begin, end in self._times.get((symbol, kind), ()))
