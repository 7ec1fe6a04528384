"""What a channel of an instrument is, by what is known of its line, its silence and its witness. Pure rules."""

from typing import Final, NamedTuple

from flows.model import ChannelState, FreshnessChannel, InstrumentStatus, Subscribed, TradeWitness

_WORST_FIRST: Final[tuple[ChannelState, ...]] = (
    "gone",
    "cut",
    "connecting",
    "halted",
    "silent",
    "unsynced",
    "not stored",
    "behind",
    "quiet",
    "live",
)
RANK: Final = {state: rank for rank, state in enumerate(_WORST_FIRST)}
"""By state: the lower, the less its data can be used."""
UNCONFIRMED: Final = "the exchange has not confirmed the streams yet"
"""Reason of a line that is connected and not live."""
_CHANNEL_OF_KIND: Final[dict[str, FreshnessChannel]] = {
    "aggTrade": "trades",
    "trade": "trades",
    "kline": "klines",
    "ticker": "ticker",
    "miniTicker": "ticker",
    "depth": "book",
    "bookTicker": "best",
    "markPrice": "mark",
    "forceOrder": "liquidations",
}


class Verdict(NamedTuple):
    """What a channel is. `began` is the local time of its begin where that is another than now."""

    state: ChannelState
    reason: str = ""
    began: int | None = None


class Known(NamedTuple):
    """What was concluded of a channel, and since when: local time, and the venue's (0 as long as that is not known)."""

    state: ChannelState
    reason: str
    local: int
    venue: int

    @property
    def rank(self) -> tuple[int, int]:
        """The lower the worse; of equal ones the older."""
        return RANK[self.state], self.local


class LineState:
    """What a line carries of one instrument. Kinds are not known before the first confirmation."""

    __slots__ = ("began", "is_behind", "kinds", "name", "reason", "state")

    def __init__(self, name: str, began: int) -> None:
        self.name = name
        self.kinds: dict[str, None] = {}
        self.state: ChannelState = "connecting"
        self.reason = UNCONFIRMED
        self.began = began
        self.is_behind = ""

    def verdict(self) -> Verdict | None:
        """What all channels of the line are; None where each has its own state."""
        if self.state != "live":
            return Verdict(self.state, f"{self.name}: {self.reason}", self.began)
        return Verdict("behind", self.is_behind) if self.is_behind else None


BUSY_MS = 5_000
"""A line whose usual pauses are no longer than this does not fall silent because instruments do not trade."""


class Silence(NamedTuple):
    """Since when a stream says nothing, local ms, and whether nothing comes by its connection at all."""

    began: int
    whole_line: bool
    was_busy: bool = False
    """Something came by its connection all the time before."""

    @property
    def is_of_exchange(self) -> bool:
        """No instrument that is quiet explains it."""
        return self.whole_line and self.was_busy


class InstrumentState:
    """What is known of one instrument."""

    def __init__(self) -> None:
        self.lines: dict[str, LineState] = {}
        self.silent: dict[str, Silence] = {}
        self.witness: TradeWitness | None = None
        self.is_unsynced: bool | None = None
        self.refused: dict[FreshnessChannel, str] = {}
        """Why everything is refused that a channel brings."""
        self.known: dict[str, Known] = {}
        """By channel."""
        self.own: Known | None = None
        """What the instrument is, and since when."""
        self.published: InstrumentStatus | None = None

    def channels(self) -> dict[FreshnessChannel, list[tuple[str, LineState]]]:
        """Kinds of streams by channel, each with the line that carries it."""
        found: dict[FreshnessChannel, list[tuple[str, LineState]]] = {}
        for line in self.lines.values():
            for kind in line.kinds:
                if channel := channel_of(kind):
                    found.setdefault(channel, []).append((kind, line))
        return found

    def speaks(self) -> bool:
        """Whether any stream is confirmed and not silent."""
        return any(
            kind not in self.silent for line in self.lines.values() if line.state == "live" for kind in line.kinds
        )

    def is_proven_quiet(self) -> bool:
        """Whether a witness has said since its trades fell silent that there are none."""
        return self.witness is not None and not self.witness.is_ahead


def channel_of(kind: str) -> FreshnessChannel | None:
    """The channel of a kind of stream, as the setting `feed.streams` calls it, klines by timeframe, books by depth."""
    plain = kind.partition("_")[0].rstrip("0123456789")
    return _CHANNEL_OF_KIND.get(plain)


def kinds_by_symbol(event: Subscribed) -> dict[str, list[str]]:
    """The kinds of the streams of a confirmation. Streams are called `symbol@kind`, perhaps with `@` and more."""
    symbols = {symbol.lower(): symbol for symbol in event.symbols}
    found: dict[str, list[str]] = {symbol: [] for symbol in event.symbols}
    for name in event.streams:
        stream, _, kind = name.partition("@")
        if symbol := symbols.get(stream.lower()):
            found[symbol].append(kind.partition("@")[0])
    return found


def worst_of(*verdicts: Verdict | None) -> Verdict | None:
    """The worst of several; None where there is none."""
    return min((verdict for verdict in verdicts if verdict), key=lambda one: RANK[one.state], default=None)


def of_streams(channel: FreshnessChannel, silences: list[Silence | None], instrument: InstrumentState) -> Verdict:
    """What a channel is whose lines are up, by the silences of its streams."""
    if channel == "mark":
        return of_clockwork(silences)
    return of_trades(silences, instrument) if channel == "trades" else of_silence(silences, instrument)


def of_trades(silences: list[Silence | None], instrument: InstrumentState) -> Verdict:
    """Trades that stopped are quiet only when a witness says so."""
    witness = instrument.witness
    if witness and witness.is_ahead:
        return Verdict("silent", witness.reason or "another source names later trades")
    silent = _wholly(silences)
    if silent is None:
        return Verdict("live")
    if witness and not silent.is_of_exchange:
        return Verdict("quiet", witness.reason or "another source confirms that there are no trades", silent.began)
    if silent.whole_line:
        return Verdict("silent", "the exchange sends nothing", silent.began)
    return Verdict("silent", "no trades come, and nothing confirms yet that there are none", silent.began)


def of_silence(silences: list[Silence | None], instrument: InstrumentState) -> Verdict:
    """Anything else is quiet where its trades are proven to be, or where only its own stream has nothing to say."""
    silent = _wholly(silences)
    if silent is None:
        return Verdict("live")
    is_proven = instrument.is_proven_quiet() and not silent.is_of_exchange
    if is_proven or (not silent.whole_line and instrument.speaks()):
        return Verdict("quiet", "nothing new, while other data agrees", silent.began)
    return Verdict("silent", "the exchange sends nothing", silent.began)


def of_clockwork(silences: list[Silence | None]) -> Verdict:
    """What the exchange sends at a steady pace, whether anything happens or not, is never quiet."""
    silent = _wholly(silences)
    return Verdict("silent", "the exchange sends nothing", silent.began) if silent else Verdict("live")


def _wholly(silences: list[Silence | None]) -> Silence | None:
    """The silence of a channel: that of the stream that spoke last. None when one of them speaks."""
    known = [silence for silence in silences if silence]
    return max(known) if len(known) == len(silences) else None
