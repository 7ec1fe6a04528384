"""This tree against another one, e.g. a worktree of an older commit: CPU time of the flow on frames read directly.

python -m tests.benchmarks.versus ../before [binance:500 binance:20 kraken:500 coinbase:500] [--rounds 7]

Each tree has a process of its own, which runs the functions of its own benchmarks; the other tree has the packages that
it needs. They take short turns, so what burdens the machine burdens both; what counts are the ratios.
"""

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

TREE = Path(__file__).parents[2]
FRAMES = 150_000
DEFAULTS = ("binance:500", "binance:20", "kraken:500", "coinbase:500")


class Tree:
    """A tree's process. It takes the name of a work on a line, and gives its CPU seconds."""

    def __init__(self, tree: Path, cases: list[str]) -> None:
        arguments = [sys.executable, __file__, "--serve", *cases]
        self._process = subprocess.Popen(arguments, cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, work: str) -> float:
        """One turn."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{work}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> None:
        """No turn more."""
        self._process.communicate()


def works_of(case: str) -> tuple[Callable[[], None], Callable[[], None]]:
    """The bare decoding of a case, and its flow, of the tree that is the working directory."""
    venue, _, poll = case.partition(":")
    flow: Any = import_module("tests.benchmarks.bench_flow")
    if venue == "binance":
        market: Any = import_module("tests.benchmarks.market")
        frames = market.agg_trade_frames(count=FRAMES, symbols=50, trades_per_s=5_000)
        return partial(flow.decode_only, frames), partial(flow.run_flow, frames, poll=int(poll))
    venues: Any = import_module("tests.benchmarks.bench_venues")
    json: Any = import_module("msgspec").json
    wire: Any = import_module(f"sources.{venue}.wire")
    message = wire.Message if venue == "kraken" else wire.ExchangeMessage
    frame_of = venues.kraken_frame if venue == "kraken" else venues.coinbase_frame
    frames = [frame_of(trade) for trade in venues.made_up_trades(FRAMES)]
    venues.POLL = int(poll)
    decoder = json.Decoder(message, strict=venue == "kraken")
    return partial(venues.decode_only, frames, decoder), partial(venues.run_venue, frames, venues.VENUES[venue])


def serve(cases: list[str]) -> None:
    """The process of a tree."""
    sys.path.insert(0, str(Path.cwd()))
    works = {
        f"{kind} {case}": work for case in cases for kind, work in zip(("bare", "flow"), works_of(case), strict=True)
    }
    import_module("flows.process.gc").tune_garbage_collector()  # as in the flow's process
    for line in sys.stdin:
        gc.collect()
        begin = time.process_time()
        works[line.strip()]()
        sys.stdout.write(f"{time.process_time() - begin}\n")
        sys.stdout.flush()


def compare(other: Path, cases: list[str], rounds: int) -> list[str]:
    """A line of a table for each case; one more round warms up."""
    lines = [
        "| case | there, µs | here, µs | there / here | of bare decoding, there | here |",
        "|---|---|---|---|---|---|",
    ]
    for case in cases:
        trees = {"there": Tree(other, [case]), "here": Tree(TREE, [case])}
        spent: dict[str, list[float]] = {}
        for number in range(rounds + 1):
            for kind in ("bare", "flow"):
                for name in sorted(trees, reverse=number % 2 == 0):
                    seconds = trees[name].run(f"{kind} {case}")
                    spent.setdefault(f"{kind} {name}", []).extend([seconds] if number else [])
        for tree in trees.values():
            tree.end()
        there, here = (statistics.median(spent[f"flow {name}"]) * 1e6 / FRAMES for name in trees)
        ratio = _ratio(spent["flow there"], spent["flow here"])
        shares = [_ratio(spent[f"bare {name}"], spent[f"flow {name}"]) for name in trees]
        lines.append(f"| {case} | {there:.2f} | {here:.2f} | {ratio:.2f} | {shares[0]:.3f} | {shares[1]:.3f} |")
    return lines


def _ratio(values: list[float], others: list[float]) -> float:
    return statistics.median(value / other for value, other in zip(values, others, strict=True))


def main() -> None:
    """Compares, or serves one tree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("words", nargs="+", metavar="TREE [CASE …]")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.words)
        return
    other, *cases = arguments.words
    lines = compare(Path(other).resolve(), cases or list(DEFAULTS), arguments.rounds)
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
