"""The tables of faults and of orders of accounts in the docs of the replay exchange, from their types:
`python -m tests.fault_table`.
"""

from collections.abc import Sequence

from msgspec import Struct

from sources.replay.accounts.orders import ORDERS
from sources.replay.faults.orders import FAULTS, describe
from tests.marked import DOCS, replace

PAGE = DOCS / "replay-exchange.md"


def table() -> str:
    """One row a fault: name, what it does, an order."""
    return _table("fault", FAULTS)


def orders() -> str:
    """The same of accounts."""
    return _table("`do`", ORDERS)


def _table(head: str, kinds: Sequence[type[Struct]]) -> str:
    rows = [f"| {head} | what it does | an order |", "|---|---|---|"]
    described = (describe(kind) for kind in kinds)
    rows += [f"| `{one.name}` | {one.summary} | `{one.example}` |" for one in described]
    return "\n".join(rows)


def main() -> None:
    """Puts the tables into the page."""
    replace(PAGE, "faults", table())
    replace(PAGE, "orders", orders())


if __name__ == "__main__":
    main()
