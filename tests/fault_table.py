"""The table of faults in the docs of the replay exchange, from the faults themselves: `python -m tests.fault_table`."""

from sources.replay.faults.orders import FAULTS, describe
from tests.marked import DOCS, replace

PAGE = DOCS / "replay-exchange.md"


def table() -> str:
    """One row a fault: name, what it does, an order."""
    rows = ["| fault | what it does | an order |", "|---|---|---|"]
    described = (describe(kind) for kind in FAULTS)
    rows += [f"| `{one.name}` | {one.summary} | `{one.example}` |" for one in described]
    return "\n".join(rows)


def main() -> None:
    """Puts the table into the page."""
    replace(PAGE, "faults", table())


if __name__ == "__main__":
    main()
