"""What a verification has found: single findings, and a bounded report of them."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal, TypeAlias

from msgspec import Struct, field

MOST_LISTED = 1_000
"""Findings that a report lists; further ones are only counted."""

Kind: TypeAlias = Literal["candle", "status", "missing", "rollup", "hole", "fills", "trade", "exchange"]
"""`candle`: numbers that the stored trades contradict, or that cannot be. `status`: a status, proof or revision without
ground. `missing`: no candle where one must be. `rollup`: a candle and the shorter ones in it disagree. `hole`: ids of
trades that are not stored. `fills`: aggregates whose fills do not follow. `trade`: a trade that cannot be, or stands in
the wrong place. `exchange`: the exchange's own candle says something else."""

Place: TypeAlias = tuple[str, str, str, int, str]


class Finding(Struct, frozen=True):
    """One claim of the stores that does not hold."""

    kind: Kind
    symbol: str
    timeframe: str
    """Empty for trades."""
    open_time: int
    """Of the candle, ms UTC; of trades the exchange time of the one that shows it."""
    claimed: str
    true: str

    @property
    def place(self) -> Place:
        """What it is about, whatever the values."""
        return self.kind, self.symbol, self.timeframe, self.open_time, self.claimed.partition(" ")[0]


class SymbolCounts(Struct):
    """How much of a symbol was verified."""

    until: int = 0
    """Nothing that ends behind this time was verified, ms UTC."""
    trades: int = 0
    candles: int = 0
    """Closed candles that were looked at."""
    recomputed: int = 0
    """Of these, the ones that were compared with stored trades in every field."""
    compared: int = 0
    """Of these, the ones that were compared with the exchange's own."""
    named_holes: int = 0
    """Holes in the trade ids that the ledger names."""
    named_missing: int = 0
    """Runs of missing candles in a time for which the ledger has an incident."""
    findings: int = 0


class Report(Struct):
    """The result: counts by symbol, totals by kind, and the first findings."""

    venue: str
    symbols: dict[str, SymbolCounts] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)
    """Findings by kind, listed or not."""
    findings: list[Finding] = field(default_factory=list)
    repaired: int = 0
    """Candles that were rewritten."""
    refilled: int = 0
    """Trades that were fetched and stored."""
    republished: int = 0
    """Requests that were left to a running flow, to tell its clients what was rewritten."""
    left: list[str] = field(default_factory=list)
    """What was not mended, and what to do."""

    @property
    def is_true(self) -> bool:
        """Whether all claims hold."""
        return not self.totals

    def add(self, symbol: str, counts: SymbolCounts, found: "Findings") -> None:
        """Takes what was found of a symbol."""
        counts.findings = sum(found.totals.values())
        self.symbols[symbol] = counts
        self.totals.update(found.totals)
        self.findings += found.listed[: MOST_LISTED - len(self.findings)]


class Findings:
    """Collects findings, the first `MOST_LISTED` of them as such."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self.listed: list[Finding] = []
        self.totals: Counter[str] = Counter()
        self.add(findings)

    def add(self, findings: Iterable[Finding]) -> None:
        """Takes more."""
        for finding in findings:
            self.totals[finding.kind] += 1
            if len(self.listed) < MOST_LISTED:
                self.listed.append(finding)

    @property
    def is_complete(self) -> bool:
        """Whether all are listed."""
        return sum(self.totals.values()) == len(self.listed)
