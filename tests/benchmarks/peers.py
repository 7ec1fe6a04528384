"""The flow beside other projects that make candles of Binance's trades: CPU time of the same frames, in turns.

python -m tests.benchmarks.peers [--rounds 7] [--environment .venv-clients/clients]

`make bench-peers` makes the environment, which `make conformance` uses too: each of the others is a process in it
(`peer_programs/`). Frames of 50 symbols' aggTrades are in memory; every trade gets into six candles. The flow does all
that it does with them, for 500 and for 20 frames a poll.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.market import agg_trade_frames
from tests.benchmarks.rows import median_ratio
from tests.benchmarks.versus import FRAMES as OUR_FRAMES
from tests.benchmarks.versus import TREE, Tree

FRAMES = 20_000
"""Of each of the others in a turn: they take several times as long."""
PROGRAMS = Path(__file__).parent / "peer_programs"
PEERS = ("cryptofeed", "nautilus", "ccxt")
CASES = ("binance:500", "binance:20")


class Peer:
    """The process of another project. It says its version, and CPU seconds for each turn."""

    def __init__(self, name: str, python: Path, frames: Path) -> None:
        command = [str(python), str(PROGRAMS / f"{name}_candles.py"), str(frames)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = self._line()

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended")
        return line

    def run(self) -> float:
        """One turn, CPU seconds."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line())

    def end(self) -> None:
        """No turn more."""
        self._process.communicate()


def compare(python: Path, rounds: int) -> list[str]:
    """A line of a table for each of the others; one more round warms up."""
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames"
        frames.write_bytes(b"\n".join(agg_trade_frames(count=FRAMES, symbols=50, trades_per_s=5_000)))
        ours = Tree(TREE, list(CASES))
        peers = {name: Peer(name, python, frames) for name in PEERS}
        spent: dict[str, list[float]] = {}
        for number in range(rounds + 1):
            turns = {case: ours.run(f"flow {case}") * 1e6 / OUR_FRAMES for case in CASES}
            turns |= {name: peer.run() * 1e6 / FRAMES for name, peer in peers.items()}
            for name, micros in turns.items() if number else ():
                spent.setdefault(name, []).append(micros)
        ours.end()
        for peer in peers.values():
            peer.end()
    lines = [
        "| project | µs a trade | the flow, 500 a poll, µs | times as fast | 20 a poll, µs | times as fast |",
        "|---|---|---|---|---|---|",
    ]
    for name, peer in peers.items():
        cells: list[Any] = [f"{name} {peer.version}", f"{statistics.median(spent[name]):.2f}"]
        for case in CASES:
            cells += [f"{statistics.median(spent[case]):.2f}", f"{median_ratio(spent[name], spent[case]):.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Compares with all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--environment", type=Path, default=TREE / ".venv-clients" / "clients")
    arguments = parser.parse_args()
    python = arguments.environment / "bin" / "python"
    if not python.exists():
        sys.exit(f"{python} is not there: make bench-peers makes it")
    sys.stdout.write("\n".join([*compare(python, arguments.rounds), ""]))


if __name__ == "__main__":
    main()
