"""Findings of a verification, and a bounded report of them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias, get_args

from msgspec import Struct, field

MOST_LISTED = 1_000
"""Findings that a report lists; further ones are only counted."""
MOST_MENDED = 100_000
"""Findings and notes about candles that one repair looks at."""
NAMED = 3
"""Most things of one kind that a sentence names; the others are counted."""

Kind: TypeAlias = Literal[
    "candle",
    "status",
    "missing",
    "rollup",
    "hole",
    "fills",
    "trade",
    "record",
    "ledger",
    "refuted",
    "exchange",
    "loss",
    "time",
    "added",
]
"""`candle`: numbers that are impossible, or that the stored trades contradict. `status`: a status, proof or revision
without basis. `missing`: no candle where one must be. `rollup`: a candle and the shorter ones in it disagree. `hole`: a
gap in the trade ids. `fills`: aggregates whose fills are not consecutive. `trade`: an impossible or misplaced trade.
`record`: a stored record of trades that cannot be read. `ledger`: an entry of the ledger that cannot be read.
`refuted`: stored trades that do not make the exchange's candle which has replaced ours. `exchange`: the exchange's own
candle differs. `loss`, `time` and `added` are notes."""
Note: TypeAlias = Literal["loss", "time", "added"]
NOTES: tuple[str, ...] = get_args(Note)
"""Kinds that are no false claims. `loss`: trades that lack or are wrong, as the ledger says. `time`: a trade that is
earlier than the one before it. `added`: candles of a timeframe of the settings that begin behind the trades."""

Place: TypeAlias = tuple[str, str, str, int, str]


class Finding(Struct, frozen=True):
    """One claim of the stores that does not hold, or a note."""

    kind: Kind
    symbol: str
    timeframe: str
    """Empty for trades."""
    open_time: int
    """Of the candle, ms UTC; for trades the exchange time of the one that shows it."""
    claimed: str
    true: str

    @property
    def place(self) -> Place:
        """Its subject, without the values."""
        return self.kind, self.symbol, self.timeframe, self.open_time, self.claimed.partition(" ")[0]


class SymbolCounts(Struct):
    """Extent of the verification of a symbol."""

    until: int = 0
    """Nothing that ends after this time was verified, ms UTC."""
    trades: int = 0
    candles: int = 0
    """Closed candles that were checked."""
    recomputed: int = 0
    """Of these, the ones that were compared with stored trades in every field."""
    compared: int = 0
    """Of these, the ones that were compared with the exchange's own."""
    named_holes: int = 0
    """Gaps in the trade ids that the ledger names."""
    named_missing: int = 0
    """Runs of missing candles in a time with an incident."""
    findings: int = 0
    notes: int = 0


class Report(Struct):
    """The result: counts by symbol, totals by kind, the first findings and the first notes."""

    venue: str
    symbols: dict[str, SymbolCounts] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    """Findings by kind, listed or not."""
    findings: list[Finding] = field(default_factory=list)
    noted: Counter[str] = field(default_factory=Counter)
    """Notes by kind, listed or not."""
    notes: list[Finding] = field(default_factory=list)
    repaired: int = 0
    """Candles that were rewritten."""
    refilled: int = 0
    """Trades that were fetched and stored."""
    removed: int = 0
    """Records of trades and documents that could not be read, and are there no more."""
    republished: int = 0
    """Requests to a running flow to publish what was rewritten."""
    left: list[str] = field(default_factory=list)
    """What was not repaired, and what to do."""

    @property
    def is_true(self) -> bool:
        """Whether all claims hold."""
        return not self.totals

    def add(self, symbol: str, counts: SymbolCounts, found: "Findings") -> None:
        """Adds the findings and notes of a symbol."""
        counts.findings = sum(found.totals.values())
        counts.notes = sum(found.noted.values())
        self.symbols[symbol] = counts
        self.add_all(found)

    def add_all(self, found: "Findings") -> None:
        """Adds findings and notes, also of no symbol."""
        self.totals.update(found.totals)
        self.findings += found.listed[: MOST_LISTED - len(self.findings)]
        self.noted.update(found.noted)
        self.notes += found.notes[: MOST_LISTED - len(self.notes)]


class Findings:
    """Collects findings and notes, the first `MOST_LISTED` of each as such, and the first `MOST_MENDED` of candles."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self.listed: list[Finding] = []
        self.totals: Counter[str] = Counter()
        self.notes: list[Finding] = []
        self.noted: Counter[str] = Counter()
        self.of_candles: list[Finding] = []
        self.add(findings)

    def add(self, findings: Iterable[Finding]) -> None:
        """Adds findings and notes."""
        for finding in findings:
            is_note = finding.kind in NOTES
            totals, listed = (self.noted, self.notes) if is_note else (self.totals, self.listed)
            totals[finding.kind] += 1
            if len(listed) < MOST_LISTED:
                listed.append(finding)
            if finding.timeframe and len(self.of_candles) < MOST_MENDED:
                self.of_candles.append(finding)

    @property
    def is_complete(self) -> bool:
        """Whether all findings are listed."""
        return sum(self.totals.values()) == len(self.listed)


def moment(time: int) -> str:
    """A time as ISO 8601; an invalid one as a number."""
    try:
        return datetime.fromtimestamp(time / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(time)


def few(names: Sequence[str], what: str = "") -> str:
    """The first of several names, and how many more there are, called `what`."""
    more = f" and {len(names) - NAMED} more {what}".rstrip() if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
