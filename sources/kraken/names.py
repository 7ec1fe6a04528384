"""Kraken's names and ours: instruments, streams, times.

`BTC/USD` of the WebSocket is our `BTC-USD`, and `XBTUSD` to REST, which has older names for two assets. A stream is
named `symbol@kind`, with what is subscribed behind it: `BTC-USD@trade`, `BTC-USD@kline_1m`, `BTC-USD@ticker@bbo`,
`BTC-USD@depth@100`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from flows.spellings import OLDER_ASSETS

INTERVALS: Final[dict[str, int]] = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1_440}
"""The timeframes that Kraken has, of those that divide a day; in minutes."""
TIMEFRAMES: Final[dict[int, str]] = {minutes: name for name, minutes in INTERVALS.items()}
_NEW_ASSETS: Final = {new: old for old, new in OLDER_ASSETS.items()}
_REST_ASSETS: Final = {
    **{f"X{asset}": OLDER_ASSETS.get(asset, asset) for asset in ("XBT", "XDG", "ETH", "ETC", "LTC", "MLN", "REP")},
    **{f"X{asset}": asset for asset in ("XLM", "XMR", "XRP", "ZEC")},
    **{f"Z{asset}": asset for asset in ("AUD", "CAD", "EUR", "GBP", "JPY", "USD")},
}
"""Assets that REST names by four letters."""
_MOST_REMEMBERED: Final = 1_000
_SECOND: Final = len("2026-07-07T23:00:04")
_USUAL: Final = len(".585581Z")
_MILLISECOND: Final = len("2026-07-07T23:00:04.585")
_MILLISECONDS: Final = {f".{number:03}": number for number in range(1_000)}
_REST_OF_USUAL: Final = frozenset(f"{number:03}Z" for number in range(1_000))
"""What follows the milliseconds in a usual time."""


def venue_name(symbol: str) -> str:
    """The WebSocket's name of our symbol."""
    return symbol.replace("-", "/")


def symbol_of_venue(name: str) -> str:
    """Our symbol of the WebSocket's name."""
    return name.replace("/", "-")


def symbol_of_wsname(wsname: str) -> str:
    """Our symbol of the `wsname` in REST's list, whose assets may have their older names."""
    return "-".join(OLDER_ASSETS.get(asset, asset) for asset in wsname.split("/"))


def rest_pair(symbol: str) -> str:
    """REST's name of our symbol (`altname`)."""
    return "".join(_NEW_ASSETS.get(asset, asset) for asset in symbol.split("-"))


def asset_of_rest(name: str) -> str:
    """The usual name of an asset as REST names it, old or new; what is behind a dot, as of `XBT.M`, stays."""
    asset, dot, form = name.partition(".")
    return _REST_ASSETS.get(asset, OLDER_ASSETS.get(asset, asset)) + dot + form


class Times:
    """Reads times; the seconds of those before are remembered."""

    def __init__(self) -> None:
        self._seconds = _Seconds()

    def usual_millis(self, texts: Sequence[str]) -> list[int]:
        """Milliseconds UTC of many times with six decimals of a second; `KeyError` or `ValueError` when one of them has
        another form.
        """
        if not _REST_OF_USUAL.issuperset([text[_MILLISECOND:] for text in texts]):
            raise ValueError("not all of these times have six decimals of a second")
        seconds, millis = self._seconds, _MILLISECONDS
        return [seconds[text[:_SECOND]] + millis[text[_SECOND:_MILLISECOND]] for text in texts]

    def micros(self, text: str) -> int:
        """Microseconds UTC of `2026-07-07T23:00:04.585581Z`; `ValueError` for anything else."""
        second = self._seconds[text[:_SECOND]] * 1_000
        rest = text[_SECOND:]
        if rest == "Z":
            return second
        fraction = rest[1:-1]
        if rest[0] != "." or rest[-1] != "Z" or not (fraction.isascii() and fraction.isdigit()):
            raise ValueError("a time that does not end in decimals of a second and Z")
        return second + int(fraction if len(rest) == _USUAL else (fraction + "00000")[:6])


class _Seconds(dict[str, int]):
    """Milliseconds UTC by the text of a second."""

    def __missing__(self, text: str) -> int:
        if len(text) != _SECOND or text[10] != "T":
            raise ValueError("a time that is none")
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        second = self[text] = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000
        return second
