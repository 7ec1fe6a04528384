"""The rules that differ between Binance's venues.

The rules for differences of a book are those of the exchange's pages "How to manage a local order book correctly". The
numbers in the code are the steps of those pages.
Spot: https://developers.binance.com/docs/binance-spot-api-docs
USD-M futures: https://developers.binance.com/docs/derivatives/usds-margined-futures
"""

from typing import Final

from msgspec import Struct

from flows.bounds import ConsecutiveIds, VenueRules
from flows.model import IDS, VOLUMES, BookDelta
from sources.binance.feed import PUBLIC_LINE


class LinkedIds(Struct, frozen=True):
    """USD-M: ids jump; each difference names the one before it."""

    def is_in(self, delta: BookDelta, snapshot: int) -> bool:
        """Step 4: a difference that ends before the snapshot is dropped; one that ends with it is not."""
        return delta.last_update_id < snapshot

    def joins(self, delta: BookDelta, snapshot: int) -> bool:
        """Step 5: the snapshot lies within the first difference. Nothing happened between that and the one it names, so
        a snapshot from in between is valid too.
        """
        previous = delta.previous_update_id
        return (delta.first_update_id if previous is None else previous) <= snapshot

    def follows(self, delta: BookDelta, update_id: int) -> bool:
        """Step 6: it names the last one, or an earlier one, where two connections overlap with different boundaries."""
        return delta.previous_update_id is not None and delta.previous_update_id <= update_id


RULES: Final[dict[str, VenueRules]] = {
    "binance": VenueRules(
        # 57,229 aggregates of a whole day, and every capture at hand: the fills of one begin where those before it end
        fills_follow=True,
        klines_have_ids=True,
        ticker_counts_trades=True,
        book_line=PUBLIC_LINE,
        # steps 4 and 5: one that ends at or before the snapshot is dropped, and each next one begins right after it
        book_ids=ConsecutiveIds(),
    ),
    "binance-usdm": VenueRules(
        # fills of the insurance fund and of auto-deleveraging are in no aggregate
        fills_follow=False,
        klines_have_ids=True,
        ticker_counts_trades=False,
        # klines count them: whatever adds trades up may differ, but no price
        incomparable_fields=frozenset(("trades", *IDS, *VOLUMES)),
        book_line=PUBLIC_LINE,
        book_ids=LinkedIds(),
        has_derivatives=True,
    ),
}
"""By venue."""
