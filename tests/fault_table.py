"""The table of faults in the docs of the replay exchange, from the faults themselves: `python -m tests.fault_table`."""

from sources.replay.faults.orders import FAULTS, describe
from tests.picture import README

DOCS = README.parent / "docs" / "replay-exchange.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"


def table() -> str:
    """One row a fault: name, what it does, an order."""
    rows = ["| fault | what it does | an order |", "|---|---|---|"]
    described = (describe(kind) for kind in FAULTS)
    rows += [f"| `{one.name}` | {one.summary} | `{one.example}` |" for one in described]
    return "\n".join(rows)


def current_table() -> str:
    """The table that the docs show."""
    return DOCS.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    """Puts the table into the docs."""
    before, _, rest = DOCS.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
