"""The picture of the flow in README.md and docs/architecture.md, drawn from the flow itself: `python -m tests.picture`
brings it up to date.

One node a step, and what goes from one to the next at the arrow. What a step is shows in its shape: rounded where
something comes in or goes out, six-sided where a state is kept for each instrument.
"""

from collections import defaultdict

from bytewax.testing import TestingSink, TestingSource
from bytewax.visualize import RenderedOperator, to_rendered

from flows.graph import Sinks, market_flow
from flows.machine import refuse_queries
from flows.settings import Feed
from sources.binance.parse import BinanceParser
from tests.marked import DOCS, README, replace

PAGES = (README, DOCS / "architecture.md")

WHAT = {
    "source": "raw frames, connection events",
    "parse": "frames become events",
    "validate": "impossible events are rejected",
    "prices": "latest price of each instrument",
    "hub_prices": "WebSocket broadcast of prices, first of all",
    "candles": "trades in sequence, gaps filled, candles built and reconciled",
    "feed_status": "connections, rejected input, the exchange's 24-hour tickers",
    "order_books": "books in sync with the exchange's",
    "stats_24h": "24-hour statistics of our own candles",
    "incidents": "everything that went wrong",
    "mongodb": "candles and statistics",
    "rocksdb": "every trade",
    "ledger": "log of incidents",
    "commands": "results of requests by the API",
    "rejects": "log of rejected input",
    "freshness": "how current each instrument's data is",
    "hub": "WebSocket broadcast of everything else",
}
"""What each step is for, in a few words."""


def picture() -> str:
    """The flow with all its branches, as a Mermaid block."""
    flow = market_flow(
        source=TestingSource([]),
        parser=BinanceParser("binance"),
        feed=Feed(),
        sinks=Sinks(**{name: TestingSink([]) for name in Sinks.__struct_fields__ if name not in ("bus", "kafka")}),
        runner=refuse_queries,
    )
    steps = to_rendered(flow).substeps
    senders = {port.port_id: (step.step_name, port.port_name) for step in steps for port in step.out_ports}
    nodes = [f"{step.step_name}{_node(step)}" for step in steps]
    return "\n".join(["```mermaid", "flowchart TD", *nodes, *_arrows(steps, senders), "```"])


def _node(step: RenderedOperator) -> str:
    label = f'"<b>{step.step_name}</b><br/>{WHAT[step.step_name]}"'
    if not (step.inp_ports and step.out_ports):
        return f"([{label}])"
    return f"{{{{{label}}}}}" if _has_machine(step) else f"[{label}]"


def _has_machine(step: RenderedOperator) -> bool:
    return step.op_type == "machine" or any(_has_machine(inner) for inner in step.substeps)


def _arrows(steps: list[RenderedOperator], senders: dict[str, tuple[str, str]]) -> list[str]:
    """From each step to those behind it, with the names of its streams where it has several."""
    streams: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for step in steps:
        for port in step.inp_ports:
            for sender, stream in (senders[port_id] for port_id in port.from_port_ids):
                streams[sender][step.step_name] += [] if stream == "down" else [stream.replace("_", " ")]
    same: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for sender, found in streams.items():
        receivers: defaultdict[str, list[str]] = defaultdict(list)
        for receiver, names in found.items():
            receivers[f"-- {', '.join(names)} -->" if names else "-->"].append(receiver)
        for arrow, behind in receivers.items():
            same[arrow, " & ".join(behind)].append(sender)
    return [f"{' & '.join(senders)} {arrow} {behind}" for (arrow, behind), senders in same.items()]


def main() -> None:
    """Puts the picture into the pages."""
    for page in PAGES:
        replace(page, "flow", picture())


if __name__ == "__main__":
    main()
