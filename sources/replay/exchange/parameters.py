"""The parameters of a REST request, read and checked as the exchange does. Source: `rest-api`, `errors`."""

import re
from collections.abc import Collection, Mapping

import msgspec

from flows.bounds import MICROSECONDS_FROM
from flows.names import is_symbol

_SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,20}")
"""What the exchange documents as allowed, plus names in other scripts, which it lists."""
_SYMBOL_RANGE = "^[A-Z0-9-_.]{1,20}$"
_SYMBOLS_RANGE = r'^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$'
_INTEGER = re.compile(r"[0-9]{1,20}")
_INTEGER_RANGE = "^[0-9]{1,20}$"


class ApiError(Exception):
    """A refused request: HTTP status, the exchange's code and text."""

    def __init__(self, code: int, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def illegal(name: str, legal: str) -> ApiError:
    """The exchange's error for illegal characters."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def invalid(name: str) -> ApiError:
    """The exchange's error for an invalid value."""
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


class Parameters:
    """The query string of one request. It records which parameters were read, so that unknown ones can be refused."""

    def __init__(self, sent: Mapping[str, str]) -> None:
        self._sent = dict(sent)
        self._read: set[str] = set()

    def text(self, name: str) -> str | None:
        """An optional parameter; -1105 when it was sent without a value."""
        self._read.add(name)
        value = self._sent.get(name)
        if value == "":
            raise ApiError(-1105, f"Parameter '{name}' was empty.")
        return value

    def integer(self, name: str) -> int | None:
        """An optional whole number, not negative; -1100 when it is none."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise illegal(name, _INTEGER_RANGE)
        return int(value)

    def time_ms(self, name: str) -> int | None:
        """An optional time, sent in milliseconds or microseconds."""
        value = self.integer(name)
        return value // 1_000 if value is not None and value >= MICROSECONDS_FROM else value

    def limit(self, *, default: int, most: int, clamps: bool = True) -> int:
        """`limit`, at least 1; above `most` it is clamped to `most`, or refused with -1130."""
        value = self.integer("limit")
        if value is None:
            return default
        if value < 1 or (value > most and not clamps):
            raise invalid("limit")
        return min(value, most)

    def required(self, name: str) -> str:
        """A parameter that must be there: -1102 when it is not, -1105 when it is empty."""
        value = self.text(name)
        if value is None:
            raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return value

    def symbol(self, known: Collection[str]) -> str:
        """The mandatory `symbol`; -1121 when the market has none of that name."""
        return _checked_symbol(self.required("symbol"), known)

    def symbols(self, known: Collection[str]) -> tuple[str, ...] | None:
        """The symbols in `symbol` or `symbols` (a JSON list); None when neither is sent, -1128 when both are."""
        one, many = self.text("symbol"), self.text("symbols")
        if one is not None and many is not None:
            raise ApiError(-1128, "Combination of optional parameters invalid. Recommendation: 'symbol' or 'symbols'")
        if one is not None:
            return (_checked_symbol(one, known),)
        if many is None:
            return None
        try:
            names = msgspec.json.decode(many, type=list[str])
        except (msgspec.DecodeError, RecursionError):
            raise illegal("symbols", _SYMBOLS_RANGE) from None
        return tuple(dict.fromkeys(_checked_symbol(name, known) for name in names))

    def interval(self, known: Collection[str]) -> str:
        """The mandatory kline `interval`; -1120 when there is none of that name (case counts)."""
        value = self.required("interval")
        if value not in known:
            raise ApiError(-1120, "Invalid interval.")
        return value

    def choice(self, name: str, known: Collection[str], *, default: str) -> str:
        """An optional word out of a few."""
        value = self.text(name) or default
        if value not in known:
            raise invalid(name)
        return value

    def refuse_unread(self) -> None:
        """Refuses parameters that were not read, as spot does: -1101 where the path has none, else -1104."""
        if set(self._sent) <= self._read:
            return
        sent, read = len(self._sent), len(self._read & set(self._sent))
        if not self._read:
            raise ApiError(-1101, f"Too many parameters; expected '0' and received '{sent}'.")
        raise ApiError(-1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")


def _checked_symbol(name: str, known: Collection[str]) -> str:
    if not (_SYMBOL.fullmatch(name) or is_symbol(name)):
        raise illegal("symbol", _SYMBOL_RANGE)
    if name not in known:
        raise ApiError(-1121, "Invalid symbol.")
    return name
