"""What a parser has given, as runs of one symbol and one type."""

from flows.model import MarketEvent, ParsedFrames
from flows.operators.runs import by_symbol


def runs_of(parsed: ParsedFrames) -> list[tuple[str, list[MarketEvent]]]:
    """Its trades by symbol, and the events."""
    return [*[(symbol, list[MarketEvent](run)) for symbol, run in by_symbol([*parsed.trades]).items()], *parsed.events]
