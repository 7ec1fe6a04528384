"""The newcomer's path in docs/contributing.md: what to read, and how long it is. `python -m tests.reading_list` brings
it up to date.
"""

import ast
from typing import NamedTuple

from tests.marked import DOCS, ROOT, replace

PAGE = DOCS / "contributing.md"
GRAIN = 10
"""Lengths are rounded to so many lines, so that not every change of a file changes the page."""


class Reading(NamedTuple):
    """A file, or of a Python file what stands from one name to another."""

    path: str
    why: str
    first: str = ""
    """Empty: from the begin of the file."""
    last: str = ""
    """Empty: to its end."""

    @property
    def lines(self) -> int:
        """How long it is; `KeyError` when a name is not there."""
        text = (ROOT / self.path).read_text()
        begin, end = 1, len(text.splitlines())
        if self.first or self.last:
            places = _places(ast.parse(text))
            begin = places[self.first][0] if self.first else begin
            end = places[self.last][1] if self.last else end
        return end - begin + 1


PATH = (
    Reading("README.md", "what it is, and what it promises"),
    Reading("docs/architecture.md", "the parts, and why they are so"),
    Reading("flows/model/market.py", "a trade, as every step sees it", last="AggregateTrade"),
    Reading("flows/model/candles.py", "a candle, and what it says of itself", last="Candle"),
    Reading("flows/graph.py", "the flow: every step and what it is connected to", "market_flow", "market_flow"),
    Reading(
        "flows/operators/candles/builder.py",
        "the laws of candles, and how a machine takes events",
        last="CandleBuilder.on_events",
    ),
    Reading(
        "tests/flows/operators/candles/test_builder.py",
        "a machine is tested by calling it",
        "test_the_next_periods_first_trade_closes_and_the_longer_timeframes_with_it",
        "test_the_next_periods_first_trade_closes_and_the_longer_timeframes_with_it",
    ),
    Reading("flows/main.py", "settings become concrete parts, the parts become the flow", "build_flow", "build_flow"),
)
LONGEST = 700
"""Lines of all together that somebody reads who is new here."""


def total() -> int:
    """Lines of all together."""
    return sum(reading.lines for reading in PATH)


def table() -> str:
    """One row a reading, and how long all of it is."""
    rows = ["| read | lines | for |", "|---|---|---|"]
    rows += [f"| {_link(reading)} | {_about(reading.lines)} | {reading.why} |" for reading in PATH]
    return "\n".join([*rows, f"| together | {_about(total())} | |"])


def _link(reading: Reading) -> str:
    link = f"[{reading.path}](../{reading.path})"
    if not reading.last:
        return link
    return f"{link}, `{reading.last}`" if reading.first else f"{link}, to the end of `{reading.last}`"


def _about(lines: int) -> int:
    return max(round(lines / GRAIN) * GRAIN, GRAIN)


def _places(module: ast.Module) -> dict[str, tuple[int, int]]:
    """First and last line of functions and classes, and of what stands in classes."""
    found = {}
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = (node.lineno, node.end_lineno or node.lineno)
        if isinstance(node, ast.ClassDef):
            inner = [one for one in node.body if isinstance(one, ast.FunctionDef)]
            found |= {f"{node.name}.{one.name}": (one.lineno, one.end_lineno or one.lineno) for one in inner}
    return found


def main() -> None:
    """Puts the table into the page."""
    replace(PAGE, "reading", table())


if __name__ == "__main__":
    main()
