"""The picture of the flow in README.md and docs/architecture.md, drawn by Bytewax's own visualiser:
`python -m tests.picture` brings it up to date.

What is the same for every step is left out, and what a step is shows in its shape: rounded where something comes in or
goes out, six-sided where a machine keeps state for each instrument, round where streams meet.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from bytewax.testing import TestingSink, TestingSource
from bytewax.visualize import to_mermaid

from flows.graph import Sinks, market_flow
from flows.machine import refuse_queries
from flows.settings import Feed
from sources.binance.parse import BinanceParser
from tests.marked import DOCS, README, replace

PAGES = (README, DOCS / "architecture.md")

_STEP = re.compile(r'marketflow\.(\w+)\["\w+ \((\w+)\)"\]')
_ARROW = re.compile(r'marketflow\.(\w+) -- "[^"]*" --> marketflow\.(\w+)')
_SHAPES = {"input": "([{}])", "output": "([{}])", "machine": "{{{{{}}}}}", "merge": "(({}))"}
_BOX = "[{}]"


def picture() -> str:
    """The flow with all its branches, as a Mermaid block."""
    flow = market_flow(
        source=TestingSource([]),
        parser=BinanceParser("binance"),
        feed=Feed(),
        sinks=Sinks(*(TestingSink([]) for _ in Sinks.__struct_fields__)),
        runner=refuse_queries,
    )
    drawn = to_mermaid(flow)
    shapes = {name: _SHAPES.get(kind, _BOX).format(name) for name, kind in _STEP.findall(drawn)}
    return "\n".join(["```mermaid", "flowchart TD", *_paths(shapes, _ARROW.findall(drawn)), "```"])


def _paths(shapes: dict[str, str], arrows: Iterable[tuple[str, str]]) -> list[str]:
    """The arrows in as few lines as possible: each goes on while there is one way only. A step is drawn with its shape
    where it is named first.
    """
    below: defaultdict[str, list[str]] = defaultdict(list)
    above: defaultdict[str, int] = defaultdict(int)
    for upper, lower in arrows:
        below[upper].append(lower)
        above[lower] += 1
    named: set[str] = set()

    def drawn(step: str) -> str:
        text = step if step in named else f"{step}{shapes[step]}"
        named.add(step)
        return text

    lines, done = [], set[str]()
    for step in shapes:
        if step in done or not below[step]:
            continue
        line = drawn(step)
        while nexts := below[step]:
            done.add(step)
            line += f" --> {' & '.join(map(drawn, nexts))}"
            step = nexts[0]  # noqa: PLW2901 - the way goes on
            if len(nexts) > 1 or above[step] > 1 or step in done:
                break
        lines.append(line)
    return lines


def main() -> None:
    """Puts the picture into the pages."""
    for page in PAGES:
        replace(page, "flow", picture())


if __name__ == "__main__":
    main()
