"""Settings of a venue's input: streams, REST, order books."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from flows.settings.account import with_secret
from flows.settings.section import Section, Stream, check_order, symbols_of, wrong_value
from flows.settings.values import (
    ApiKey,
    Count,
    Label,
    Milliseconds,
    Seconds,
    SecretText,
    WebSocketUrl,
    WebUrl,
    check_timeframes,
    share_of,
)

VenueName = Literal["binance", "binance-usdm", "kraken", "coinbase"]

PAIRS: Final[Mapping[str, tuple[str, ...]]] = {
    "kraken": ("BTC-USD", "ETH-USD"),
    "coinbase": ("BTC-USD", "ETH-USD"),
}
"""The default symbols of venues whose names are pairs with a `-`."""

_BINARY: Final = frozenset(("binance",))
"""Venues with binary streams."""
_BINARY_STREAMS: Final = ("trade", "kline", "ticker", "depth", "bookTicker")
"""The default streams with these."""
_SNAPSHOT_LEVELS = (100, 500, 1_000)
_DERIVATIVES = frozenset(("binance-usdm",))
"""Venues whose instruments are derivatives."""
_OF_DERIVATIVES = ("markPrice", "forceOrder", "contractInfo")
"""Kinds of streams that only they have."""

WHOLE: Final = "1/1"
"""The shard of a flow that has all symbols."""
AUTO: Final = "auto"
"""In the place of a shard: flows share them by leases."""


class Feed(Section):
    """The source of the data."""

    venue: VenueName = "binance"
    """The exchange: Binance spot or USD-M futures, Kraken spot, Coinbase Exchange. Where there are several, that of
    requests which name none.
    """
    origin: Literal["live", "testnet", "replay", "synthetic"] = "live"
    """Origin of the data; shown everywhere, so that a replay is not mistaken for the market."""
    ws_url: WebSocketUrl | None = None
    """Base address of the WebSocket streams; default: the venue's own."""
    book_ws_url: WebSocketUrl | None = None
    """The same for the books of a venue that serves them elsewhere (Coinbase); default: the venue's own, or `ws_url`
    where the origin has none.
    """
    rest_url: WebUrl | None = None
    """Base address of the REST interface; default: the venue's own."""
    encoding: Literal["json", "sbe"] = "json"
    """How Binance spot sends single trades and books: with `sbe` in binary messages, one for all trades of an order,
    and books every 20 ms. It needs `api_key`, and `trade` in `streams`, since it has no `aggTrade`. What it does not
    have, as klines, stays JSON on connections of its own.
    """
    sbe_ws_url: WebSocketUrl | None = None
    """Base address of these binary streams; default: the venue's own. The replay exchange has them at `/sbe`."""
    api_key: ApiKey | None = None
    """The key of an account, or the one (Ed25519) that the binary streams want, which needs no permission; best in a
    file that `MARKETFLOW_FEED__API_KEY_FILE` names.
    """
    api_secret: SecretText | None = None
    """What the key signs with: its secret, or a private key. With it the account of the key is followed: balances and
    positions, which are only read. Not in the file of settings itself: write `${NAME}` there, or `api_secret_file`.
    """
    api_secret_file: Path | None = None
    """A file that holds `api_secret` alone, e.g. a private key as PEM."""
    account: Label = "default"
    """What the account is called everywhere."""
    accounts_ws_url: WebSocketUrl | None = None
    """Base address of the private streams; default: the venue's own, or `ws_url` where the origin has none."""
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    """Instruments, in any common spelling (`BTC/USDT`). One that is not listed is left out, and followed when it is."""
    timeframes: tuple[str, ...] = ("1m", "5m", "15m", "1h", "4h", "1d")
    """Candles to build, each a multiple of the shortest."""
    streams: tuple[Stream, ...] = ("aggTrade", "kline", "ticker", "depth", "bookTicker")
    """Streams to subscribe for each symbol; `aggTrade` or `trade` is needed for candles. Of derivatives only:
    `markPrice` (also funding), `forceOrder` (liquidations), `contractInfo` (a contract is halted, settled, delivered).
    """
    symbols_minutes: Annotated[int, Field(ge=1, le=10_080)] = 10
    """Time between two queries of the venue's list of instruments, for those that stopped trading, were removed or are
    new. One costs 20 of Binance's 6,000 request weights a minute.
    """
    connections: Annotated[int, Field(ge=1, le=64)] = 1
    """Least number of connections per line; more are opened when the streams do not fit."""
    streams_per_connection: Annotated[int, Field(ge=1, le=1024)] = 200
    """Most streams on one connection (Binance takes 1024)."""
    book_levels: Literal[10, 25, 100, 500, 1_000] = 100
    """Levels on each side of a book that its stream brings, where that brings a snapshot too (Kraken)."""
    shards: Annotated[int, Field(ge=1, le=99)] = 1
    """Partitions of the source; symbols are spread over them. It must not change while recovery data is kept."""
    shard: str = WHOLE
    """`i/N`: this process takes the i-th of N parts of the symbols. `auto`: flows on any hosts share `bus.shards`
    parts, and those of one that is lost are taken over by the others.
    """
    stale_after_s: Seconds = 60.0
    """How long a new stream may be silent; later its own usual pauses decide, from 3 s on. A connection that stays
    silent so much longer than usual is connected anew.
    """
    rotate_hours: Annotated[float, Field(ge=0, le=10_000)] = 12
    """Age at which a connection is replaced, without a break, before the venue ends it; 0 leaves that to the venue."""
    redundancy: Literal[1, 2] = 1
    """Connections that carry the same streams in parallel; with 2 the loss of one loses nothing. The second one for
    Coinbase's trades is to its Advanced Trade feed, whose trades are taken to have the same ids: recordings of both
    feeds at one time were not to be had.
    """
    transport: Literal["websockets", "picows"] = "websockets"
    """The WebSocket library; `picows` is in C, several times as fast, and comes with `marketflow-data[fast]`.
    Both go through the proxy that the environment names, except to addresses of this machine.
    """
    open_timeout_s: Seconds = 10.0
    """Longest wait for a connection to open, and for the venue to confirm a private stream."""
    backoff_min_s: Seconds = 2.0
    """First delay before a reconnect; doubles with each failure."""
    backoff_max_s: Seconds = 64.0
    """Longest delay before a reconnect."""
    backoff_tries: Count = 10
    """Failures in a row after which the outage becomes an incident; the attempts go on at the longest delay."""
    queue_frames: Annotated[int, Field(ge=1_000, le=100_000_000)] = 200_000
    """Frames that a partition queues for the flow; when it is full, the socket waits."""
    poll_frames: Count = 5_000
    """Most frames passed to the flow at once."""
    gather_ms: Annotated[int, Field(ge=0, le=100)] = 5
    """Trades of so many milliseconds are sequenced in one batch; prices do not wait for it."""
    patience_ms: Annotated[int, Field(ge=0, le=100)] = 50
    """Books, best bids and asks, klines and tickers that come within so many milliseconds are taken together, which
    spares most wake-ups of a busy feed. Trades, and what comes after a longer pause, are taken at once; with 0 all is.
    """
    reorder_ms: Milliseconds = 200
    """How long missing trade ids may still arrive before they are a gap."""
    repair_ms: Milliseconds = 30_000
    """How long trades wait for a gap before them to be filled over REST without progress; 0 fills none."""
    repair_trades: Annotated[int, Field(ge=0, le=100_000_000)] = 200_000
    """Most missing trades fetched for one gap; a larger one is left to the archive importer."""
    seed_ms: Milliseconds = 5_000
    """How long running candles wait for the exchange's own after a start or a gap, to be complete from the first."""
    open_interest_s: Annotated[float, Field(ge=0, le=86_400)] = 60
    """Time between two queries of an instrument's open interest, for derivatives; 0 queries none."""
    kline_limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Past candles fetched for a symbol and timeframe that the store does not have yet."""
    request_pause_ms: Milliseconds = 100
    """Time between two requests for past candles."""
    proof_grace_ms: Milliseconds = 10_000
    """How long a closed candle waits for the exchange's own before that is queried over REST."""
    refresh_minutes: Annotated[int, Field(ge=0, le=525_600)] = 60
    """Time between two refetches of history for timeframes of an hour and more; 0 disables it."""
    close_grace_ms: Milliseconds = 2_000
    """How long after its end a candle waits for its last trades when nothing else proves it complete."""
    forming_ms: Milliseconds = 100
    """Least time between two versions of a forming candle, and between two amendments by late trades."""

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, values: Any) -> Any:
        """The default symbols are those of the venue, the default streams those of the encoding."""
        if not isinstance(values, Mapping):
            return values
        values = with_secret(values)
        pairs = PAIRS.get(str(values.get("venue")))
        symbols = {"symbols": pairs} if pairs else {}
        streams = {"streams": _BINARY_STREAMS} if values.get("encoding") == "sbe" else {}
        return {**symbols, **streams, **values}

    @model_validator(mode="after")
    def _named_as_there(self) -> Self:
        pairs = PAIRS.get(self.venue)
        if pairs and (wrong := [symbol for symbol in self.symbols if "-" not in symbol]):
            raise wrong_value("symbols", f"{', '.join(wrong)}: {self.venue} lists pairs, write as in {pairs[0]}")
        return self

    @field_validator("symbols")
    @classmethod
    def _are_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if not symbols:
            raise ValueError("name at least one symbol, as in BTCUSDT")
        return symbols_of(symbols)

    @field_validator("timeframes")
    @classmethod
    def _multiples(cls, timeframes: tuple[str, ...]) -> tuple[str, ...]:
        lengths = check_timeframes(timeframes)
        if not lengths:
            raise ValueError("name at least one timeframe, as in 1m")
        ordered = tuple(sorted(lengths, key=lengths.__getitem__))
        shortest = ordered[0]
        for timeframe in ordered:
            if lengths[timeframe] % lengths[shortest]:
                raise ValueError(f"{timeframe} is no multiple of the shortest timeframe, {shortest}")
        return ordered

    @field_validator("streams")
    @classmethod
    def _one_kind_of_trades(cls, streams: tuple[Stream, ...]) -> tuple[Stream, ...]:
        if not streams:
            raise ValueError("name at least one stream, as in aggTrade")
        if {"aggTrade", "trade"} <= set(streams):
            raise ValueError("choose aggTrade or trade, not both: their ids count different things")
        return tuple(dict.fromkeys(streams))

    @field_validator("shard")
    @classmethod
    def _share(cls, shard: str) -> str:
        if shard != AUTO:
            share_of(shard)
        return shard

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        check_order(self, "backoff_min_s", "backoff_max_s")
        if not self.has_derivatives and (others := [kind for kind in self.streams if kind in _OF_DERIVATIVES]):
            raise wrong_value("streams", f"{self.venue} has no {' and no '.join(others)}: those are of derivatives")
        return self

    @model_validator(mode="after")
    def _can_be_binary(self) -> Self:
        if self.encoding == "json":
            return self
        if self.venue not in _BINARY:
            raise wrong_value("encoding", f"{self.venue} has no binary streams: write json, or leave it out")
        if "aggTrade" in self.streams:
            raise wrong_value("streams", "the encoding sbe has single trades alone: write trade in place of aggTrade")
        if self.origin != "live" and self.sbe_ws_url is None:
            raise wrong_value(
                "sbe_ws_url", f"the origin is {self.origin}: write the address that serves binary streams"
            )
        if self.api_key is None:
            raise wrong_value(
                "api_key", "the encoding sbe needs an API key (Ed25519), which needs no permission: set it"
            )
        return self

    @model_validator(mode="after")
    def _has_whole_keys(self) -> Self:
        if self.has_account and self.api_key is None:
            raise wrong_value("api_secret", "there is no key that it belongs to: set api_key too")
        return self

    @property
    def has_account(self) -> bool:
        """Whether an account is followed."""
        return self.api_secret is not None

    @property
    def has_derivatives(self) -> bool:
        """Whether the venue's instruments are derivatives, with mark prices, funding and liquidations."""
        return self.venue in _DERIVATIVES

    @property
    def is_timely(self) -> bool:
        """Whether the venue's time is ours: that of a replay or of a made-up market is not."""
        return self.origin in ("live", "testnet")

    @property
    def share(self) -> tuple[int, int]:
        """`shard` as numbers; of `auto`, before a shard is taken, all."""
        return (1, 1) if self.shard == AUTO else share_of(self.shard)

    @property
    def own_symbols(self) -> tuple[str, ...]:
        """The symbols of this process's share."""
        index, count = self.share
        return self.symbols[index - 1 :: count]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of streams that may be subscribed for a symbol; `kline` is the klines of all timeframes, `kline_1m`
        of one. Ids of fills and of aggregates count different things, so trades have the one kind in `streams`.
        """
        other_trades = "aggTrade" if "trade" in self.streams else "trade"
        klines = [f"kline_{timeframe}" for timeframe in self.timeframes]
        absent = {other_trades} if self.has_derivatives else {other_trades, *_OF_DERIVATIVES}
        return (*(kind for kind in get_args(Stream) if kind not in absent), *klines)

    def refusal_of(self, kinds: Iterable[str]) -> str:
        """Why kinds of streams cannot be followed; empty when they can."""
        unknown = [kind for kind in kinds if kind not in self.kinds]
        return f"{', '.join(unknown)} cannot be followed here; choose from {', '.join(self.kinds)}" if unknown else ""


class Rest(Section):
    """The venue's REST interface."""

    weight_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the venue's request weight that this process may use; several on one address divide it."""
    timeout_s: Seconds = 10.0
    """Longest wait for a response."""
    tries: Annotated[int, Field(ge=1, le=100)] = 4
    """Attempts for a request that fails temporarily."""


class Books(Section):
    """Order books, of the symbols whose `depth` stream is subscribed."""

    levels: Annotated[int, Field(ge=1, le=1_000)] = 20
    """Levels on each side that clients get."""
    every_ms: Milliseconds = 100
    """Least time between two views of a book; best bid and ask do not wait for it."""
    depth: int = 500
    """Levels on each side of a requested snapshot, and kept: 100, 500 or 1000, which costs more weight."""
    first_depth: int = 100
    """The same for a book's first snapshot (`depth` where `levels` are more), so that hundreds of books are synced
    within a minute of the venue's weight; those whose price moves far request `depth` levels next.
    """
    audit_s: Seconds = 600.0
    """Time between two comparisons of a book with a fresh snapshot."""
    audit_least_share: Annotated[float, Field(ge=0, le=1)] = 0.95
    """A book with less than this share of the exchange's best 100 levels was wrong, which is an incident."""

    @model_validator(mode="after")
    def _no_more_than_known(self) -> Self:
        for name, levels in (("depth", self.depth), ("first_depth", self.first_depth)):
            if levels not in _SNAPSHOT_LEVELS:
                raise wrong_value(name, f"venues serve {', '.join(map(str, _SNAPSHOT_LEVELS))} levels")
        check_order(self, "first_depth", "depth")
        check_order(self, "levels", "depth")  # no more are known than are queried
        return self
