"""What the keeper of an order book gives."""

from typing import TypeAlias

from flows.model import BookResult
from flows.queries import Query

Results: TypeAlias = list[BookResult | Query]
