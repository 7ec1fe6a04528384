"""What the sequencer of an instrument gives, and what its queries are answered with."""

from typing import TypeAlias

from flows.model import Trade, TradeResult, WholeFrom
from flows.queries import Continued, Query, QueryError

Result: TypeAlias = TradeResult | Query
Results: TypeAlias = list[Result]

TradesAnswer: TypeAlias = list[Trade] | QueryError
"""Answer to a `TradesQuery` and its kinds."""
StoredAnswer: TypeAlias = tuple[int, int] | Continued | QueryError | None
"""Answer to a `LastTradeQuery` or `StoreCheckQuery`: id and time of a stored trade."""


def whole_from(stored: tuple[int, int] | Continued) -> Results:
    """What is said before the trades that follow a stored one."""
    return [WholeFrom(stored.whole_from, stored.stored_until, stored.before)] if isinstance(stored, Continued) else []
