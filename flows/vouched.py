"""The times of an import's input for which a checksum of the exchange vouches."""

from collections import defaultdict

from flows.model import Candle, Coverage


class VouchedTimes:
    """The times and kinds for which a checksum vouches. The `Coverage` of a file comes before its contents."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        """By symbol and timeframe, empty for trades: times `[begin, end)`, ms UTC."""
        self._trades: dict[str, bool] = {}
        """By symbol, whether the file being read is vouched for."""

    def take(self, coverage: Coverage) -> None:
        """Takes the coverage of a file."""
        is_vouched = coverage.vouched == "all"
        for symbol in coverage.symbols:
            if coverage.has_trades:
                self._trades[symbol] = is_vouched
            if is_vouched:
                times = self._times[symbol, coverage.timeframe]
                begin = times.pop()[0] if times and times[-1][1] == coverage.begin else coverage.begin
                times.append((begin, coverage.end))

    def has_trades_of(self, symbol: str) -> bool:
        """Whether the trades being read are vouched for."""
        return self._trades.get(symbol, False)

    def is_vouched(self, candle: Candle) -> bool:
        """Whether all input of a candle is vouched for."""
        kind = candle.timeframe if candle.status == "venue" else ""
        times = self._times.get((candle.symbol, kind), [])
        return any(begin <= candle.open_time and candle.close_time < end for begin, end in times)
