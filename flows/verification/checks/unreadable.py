"""What is stored and cannot be read: records of trades, documents of candles and of the ledger."""

from pathlib import Path

from msgspec import Struct

from flows.verification.checks.findings import Finding


class UnreadableRecord(Struct, frozen=True):
    """A stored record of trades that is none."""

    path: Path
    """The partition that has it."""
    key: bytes
    name: str
    """The key as a text."""
    start: int
    """The begin of its period, ms UTC; -1 when its key names none."""
    end: int
    """The last millisecond of its period; -1 without one."""
    reason: str

    def finding(self, symbol: str) -> Finding:
        """The finding about it. `symbol` is empty when it belongs to none."""
        return Finding("record", symbol, "", max(self.start, 0), f"record {self.name}", f"unreadable: {self.reason}")


class UnreadableCandle(Struct, frozen=True):
    """A document of a candle with fields that are none of a candle."""

    timeframe: str
    open_time: int
    fault: str
    is_running: bool
    """Its period was not over when the newest trade or candle was stored, so that it will be stored anew."""


class UnreadableDocument(Struct, frozen=True):
    """A document that is in no series: of a candle that names none, or an entry of the ledger that is none."""

    collection: str
    id: object
    name: str
    fault: str
    is_of_ledger: bool

    def finding(self) -> Finding:
        """The finding about it."""
        kind, claimed = ("ledger", "entry") if self.is_of_ledger else ("candle", "document")
        return Finding(kind, "", "", 0, f"{claimed} {self.name}", f"unreadable: {self.fault}")  # type: ignore[arg-type]
