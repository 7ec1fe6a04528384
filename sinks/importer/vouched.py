"""Of what an import reads, that for which a checksum of the exchange vouches."""

from collections import defaultdict

from flows.model import Candle, Coverage


class VouchedTimes:
    """For which times and kinds a checksum vouches. The `Coverage` of a file comes before what it holds."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        """By symbol and timeframe, empty for trades: times `[begin, end)`, ms UTC."""
        self._trades: dict[str, bool] = {}
        """By symbol, whether the file that is being read is vouched for."""

    def take(self, coverage: Coverage) -> None:
        """Takes what is said of a file, of one symbol."""
        is_vouched = coverage.vouched == "all"
        for symbol in coverage.symbols:
            if coverage.has_trades:
                self._trades[symbol] = is_vouched
            if is_vouched:
                times = self._times[symbol, coverage.timeframe]
                begin = times.pop()[0] if times and times[-1][1] == coverage.begin else coverage.begin
                times.append((begin, coverage.end))

    def has_trades_of(self, symbol: str) -> bool:
        """Whether the trades that come now are vouched for."""
        return self._trades.get(symbol, False)

    def is_vouched(self, candle: Candle) -> bool:
        """Whether all that a candle was made of is vouched for."""
        kind = candle.timeframe if candle.status == "venue" else ""
        times = self._times.get((candle.symbol, kind), [])
        return any(begin <= candle.open_time and candle.close_time < end for begin, end in times)
