"""The picture of the flow in the README, drawn by Bytewax's own visualiser: `python -m tests.picture` brings it up
to date.

What is the same for every step is left out, and what a step is shows in its shape: rounded where something comes in or
goes out, six-sided where a machine keeps state for each instrument.
"""

import re
from pathlib import Path

from bytewax.testing import TestingSink, TestingSource
from bytewax.visualize import to_mermaid

from flows.graph import Sinks, market_flow
from flows.machine import refuse_queries
from flows.settings import Feed
from sources.binance.parse import BinanceParser

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- flow: begin -->", "<!-- flow: end -->"

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
    steps = [f"{name}{_SHAPES.get(kind, _BOX).format(name)}" for name, kind in _STEP.findall(drawn)]
    arrows = [f"{above} --> {below}" for above, below in _ARROW.findall(drawn)]
    return "\n".join(["```mermaid", "flowchart TD", *steps, *arrows, "```"])


def current() -> str:
    """The picture that the README shows."""
    return README.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    """Puts the picture into the README."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{picture()}\n{END}{after}")


if __name__ == "__main__":
    main()
