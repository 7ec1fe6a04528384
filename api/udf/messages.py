"""What the protocol UDF answers, field by field (TradingView, "UDF protocol" of the Advanced Charts' documentation).

Times are seconds UTC. A field that is `None` is unknown.
"""

from typing import Final, TypeAlias

from msgspec import Struct

ERROR: Final = "error"


class UdfError(Struct, frozen=True, tag_field="s", tag=ERROR):
    """What is wrong with a request: `unknown_symbol`, or a sentence."""

    errmsg: str


class Bars(Struct, frozen=True, tag_field="s", tag="ok"):
    """Bars in columns of equal lengths, oldest first; volume in the base asset."""

    t: list[int]
    """Begin of each."""
    o: list[float]
    h: list[float]
    l: list[float]  # noqa: E741 - the protocol's name
    c: list[float]
    v: list[float]


class NoBars(Struct, frozen=True, tag_field="s", tag="no_data", rename="camel", omit_defaults=True):
    """There are none in this span."""

    next_time: int | None = None
    """Begin of the newest one before it, if there is one."""


History: TypeAlias = Bars | NoBars


class Marks(Struct, frozen=True, rename="camel"):
    """Remarks on bars, in columns of equal lengths."""

    id: list[str]
    time: list[int]
    """Begin of the bar."""
    color: list[str]
    text: list[str]
    label: list[str]
    """One letter."""
    label_font_color: list[str]
    min_size: list[int]
    """Pixels."""


class TimescaleMark(Struct, frozen=True):
    """A remark below the time scale."""

    id: str
    color: str
    label: str
    time: int
    """Begin of the bar."""
    tooltip: list[str]


class SymbolType(Struct, frozen=True):
    """A kind of instrument to search for."""

    name: str
    value: str


class SearchedVenue(Struct, frozen=True):
    """A venue to search in; with an empty value all."""

    value: str
    name: str
    desc: str


class Configuration(Struct, frozen=True):
    """What a data feed can do."""

    supported_resolutions: list[str]
    exchanges: list[SearchedVenue]
    symbols_types: list[SymbolType]
    supports_search: bool = True
    supports_group_request: bool = False
    supports_marks: bool = True
    supports_timescale_marks: bool = True
    supports_time: bool = True


class SymbolDescription(Struct, frozen=True, kw_only=True):
    """An instrument, as charts need it."""

    name: str
    ticker: str
    """Venue and symbol, by which it is queried."""
    description: str
    exchange: str
    listed_exchange: str
    pricescale: int
    """Ten to the power of the price's decimals."""
    volume_precision: int
    """Decimals of a quantity."""
    intraday_multipliers: list[str]
    supported_resolutions: list[str]
    type: str = "crypto"
    session: str = "24x7"
    timezone: str = "Etc/UTC"
    minmov: int = 1
    has_intraday: bool = True
    has_daily: bool = True
    has_weekly_and_monthly: bool = False
    data_status: str = "streaming"
    format: str = "price"


class FoundSymbol(Struct, frozen=True):
    """An instrument that a search found."""

    symbol: str
    full_name: str
    description: str
    exchange: str
    ticker: str
    type: str = "crypto"


class QuoteValues(Struct, frozen=True, kw_only=True):
    """Newest price and figures of 24 hours."""

    ch: float | None
    """Change of the price in 24 hours."""
    chp: float | None
    """The same in percent."""
    short_name: str
    exchange: str
    description: str
    lp: float
    """Last price."""
    bid: float | None
    ask: float | None
    open_price: float | None
    high_price: float | None
    low_price: float | None
    prev_close_price: float | None
    volume: float | None


class Quote(Struct, frozen=True, tag_field="s", tag="ok"):
    """The quote of one instrument."""

    n: str
    """The name that was queried, with its venue."""
    v: QuoteValues


class NoValues(Struct, frozen=True):
    """An empty object, which clients expect beside an error."""


class NoQuote(Struct, frozen=True, tag_field="s", tag=ERROR):
    """Why an instrument has none."""

    n: str
    errmsg: str
    v: NoValues = NoValues()


class Quotes(Struct, frozen=True, tag_field="s", tag="ok"):
    """Quotes in the order of the query."""

    d: list[Quote | NoQuote]
