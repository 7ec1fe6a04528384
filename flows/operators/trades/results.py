"""What the sequencer of an instrument gives, and what its queries are answered with."""

from typing import TypeAlias

from flows.model import Trade, TradeResult
from flows.queries import Query, QueryError

Result: TypeAlias = TradeResult | Query
Results: TypeAlias = list[Result]

TradesAnswer: TypeAlias = list[Trade] | QueryError
"""Answer to a `TradesQuery` and its kinds."""
StoredAnswer: TypeAlias = tuple[int, int] | QueryError | None
"""Answer to a `LastTradeQuery` or `StoreCheckQuery`: id and time of a stored trade."""
