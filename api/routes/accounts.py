"""Balances and positions of accounts; not built yet."""

from api.http.errors import Problem
from api.http.route import AnyRoute, NoParams, Route
from api.services import Services


class Nothing(NoParams, frozen=True):
    """No data: the route is not built yet."""


def routes(_: Services) -> list[AnyRoute]:
    """The routes of this file."""

    async def balance(_: NoParams) -> Nothing:
        """Balances; not built yet."""
        raise Problem("not_built", "balances need an account's user stream, which the flow does not follow yet")

    async def positions(_: NoParams) -> Nothing:
        """Positions; not built yet."""
        raise Problem("not_built", "positions need an account's user stream, which the flow does not follow yet")

    return [
        Route("GET", "/api/balance", balance, Nothing, errors=("not_built",)),
        Route("GET", "/api/positions", positions, Nothing, errors=("not_built",)),
    ]
