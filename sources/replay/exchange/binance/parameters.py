"""The parameters of a REST request, read and checked as the exchange does. Source: `rest-api`, `errors`."""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple, Self

import msgspec

from flows.bounds import MICROSECONDS_FROM
from flows.names import is_symbol

_SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,20}")
"""What the exchange documents as allowed, plus names in other scripts, which it lists."""
_SYMBOL_RANGE = "^[A-Z0-9-_.]{1,20}$"
_SYMBOLS_RANGE = r'^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$'
_SYMBOLS = re.compile(r'\[("[^"\\\s]{1,20}"(,"[^"\\\s]{1,20}")*)?\]')
_ZONE = re.compile(r"([+-]?)(\d{1,2})(?::([0-5]\d))?")
_KEY = re.compile(r"[A-Za-z0-9]{64}")
_INTEGER = re.compile(r"[0-9]{1,20}")
_WORDS_RANGE = r'^[A-Z0-9_]{1,40}$|^\["[A-Z0-9_]{1,40}"(,"[A-Z0-9_]{1,40}")*\]$'
_DAY_MINUTES = 1_440
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


class Takes(NamedTuple):
    """The parameters of an endpoint."""

    mandatory: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    needs_key: bool = False
    """Whether it is answered to owners of an API key alone."""


class Parameters:
    """The query string of one request, and its API key."""

    def __init__(
        self, sent: Mapping[str, str], *, key: str | None = None, beside: Mapping[str, str] | None = None
    ) -> None:
        """`beside`: what is of the request and not of what it requests, and is signed with the others."""
        self._sent = dict(sent)
        self._key = key
        self._beside = dict(beside or {})

    @property
    def signed(self) -> Mapping[str, str]:
        """What a signature is made of, and the signature."""
        return self._beside | self._sent

    @property
    def sent(self) -> Mapping[str, str]:
        """All of them, by name."""
        return self._sent

    @classmethod
    def of_request(cls, query: Collection[tuple[str, str]], key: str | None) -> Self:
        """The parameters of a query string, as pairs of name and value; -1101 when one is sent twice."""
        sent = dict(query)
        if len(sent) != len(query):
            raise ApiError(-1101, "Duplicate values for a parameter detected.")
        return cls(sent, key=key)

    def check(self, takes: Takes, *, refuses_others: bool) -> None:
        """Refuses a request without a mandatory parameter, or without a key, or with parameters that an endpoint does
        not take: -1101 where it takes none, else -1104.
        """
        if takes.needs_key and not (self._key and _KEY.fullmatch(self._key)):
            raise ApiError(-2014, "API-key format invalid.", status=401)
        for name in takes.mandatory:
            self.required(name)
        sent, known = len(self._sent), {*takes.mandatory, *takes.optional}
        if not refuses_others or self._sent.keys() <= known:
            return
        if not known:
            raise ApiError(-1101, f"Too many parameters; expected '0' and received '{sent}'.")
        read = len(self._sent.keys() & known)
        raise ApiError(-1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")

    def text(self, name: str) -> str | None:
        """An optional parameter; -1105 when it was sent without a value."""
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
        if not _SYMBOLS.fullmatch(many):
            raise illegal("symbols", _SYMBOLS_RANGE)
        names = msgspec.json.decode(many, type=list[str])
        if len(set(names)) < len(names):
            raise ApiError(-1151, "Symbol is present multiple times in the list.")
        return tuple(_checked_symbol(name, known) for name in names)

    def some_symbols(self, known: Collection[str]) -> tuple[str, ...]:
        """The same where one of the two must be sent: -1102 when neither is."""
        names = self.symbols(known)
        if names is None:
            raise ApiError(-1102, "Param 'symbol' or 'symbols' must be sent, but both were empty/null!")
        return names

    def words(self, name: str) -> tuple[str, ...] | None:
        """An optional word, or JSON list of words, of capitals, digits and `_`; -1100 when it is neither."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(_WORDS_RANGE, value):
            raise illegal(name, _WORDS_RANGE)
        return tuple(re.findall("[A-Z0-9_]+", value))

    def zone_ms(self) -> int:
        """`timeZone`, from -12:00 to +14:00: how far its clock is ahead of UTC; -1130 when it is none."""
        match = _ZONE.fullmatch(self.text("timeZone") or "0")
        minutes = int(match[2]) * 60 + int(match[3] or 0) if match else _DAY_MINUTES
        minutes = -minutes if match and match[1] == "-" else minutes
        if not -12 * 60 <= minutes <= 14 * 60:
            raise invalid("timeZone")
        return minutes * 60_000

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


def _checked_symbol(name: str, known: Collection[str]) -> str:
    if not (_SYMBOL.fullmatch(name) or is_symbol(name)):
        raise illegal("symbol", _SYMBOL_RANGE)
    if name not in known:
        raise ApiError(-1121, "Invalid symbol.")
    return name
