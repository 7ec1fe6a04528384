"""What is true at one of Binance's venues and not at the other."""

from typing import Final

from flows.bounds import VenueRules

RULES: Final[dict[str, VenueRules]] = {
    # 57,229 aggregates of a whole day, and every capture at hand: the fills of one begin where those before it end
    "binance": VenueRules(fills_follow=True),
    # fills of the insurance fund and of auto-deleveraging are in no aggregate
    "binance-usdm": VenueRules(fills_follow=False),
}
"""By venue."""
