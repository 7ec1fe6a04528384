"""Hosts that are lost: `python -m tests.hosts [--kinds flow,host] [--rounds 10] [--clients 100] [--rate 2000]`.

Three hosts as network namespaces, each with servers of NATS and MongoDB, a flow that shares shards, and an interface,
while trades come and clients listen. In each round something is killed or cut off at a random moment; after it what has
come since is compared, in stores, stream and clients, with a twin that was left alone, and all of it after the rounds
of a kind. A round takes half a minute, and root.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.hosts.deployment import KINDS, Hosts, deployment
from tests.hosts.network import reason_for_none

_LOOK_S: Final = 0.02


def say(line: str) -> None:
    """Writes a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def run(kinds: list[str], rounds: int, clients: int, per_s: float, seed: int, folder: Path) -> int:
    """The rounds of each kind; how many kinds went wrong."""
    failed = 0
    for kind in kinds:
        chance, seconds = random.Random(f"{seed} {kind}"), dict[str, list[float]]()
        try:
            async with deployment(folder / kind, clients=clients, per_s=per_s) as hosts:
                wrong = await _rounds(hosts, kind, rounds, chance, seconds)
        except (AssertionError, RuntimeError) as error:
            wrong = [f"{error}"]
        shown = ", ".join(
            f"{name} median {statistics.median(values):.1f} most {max(values):.1f}" for name, values in seconds.items()
        )
        done = max(map(len, seconds.values()), default=0)
        say(f"{kind}: {done} rounds, {shown}; {len(wrong)} differences")
        for line in wrong[:20]:
            say(f"  {line}")
        failed += bool(wrong)
    return failed


async def _rounds(
    hosts: Hosts, kind: str, rounds: int, chance: random.Random, seconds: dict[str, list[float]]
) -> list[str]:
    """What is wrong after the first round after which something is, or after all of them."""
    await hosts.minutes_later(3)  # the first periods are whole for neither
    for number in range(rounds):
        await asyncio.sleep(chance.uniform(0.5, 4.0))
        begun = time.monotonic()
        async with _held_up() as held_up:
            found = await hosts.lose(kind, chance)
        for name, value in found.items():
            seconds.setdefault(name, []).append(value)
        wrong = await hosts.compare_so_far()
        shown = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
        say(
            f"{kind} {number + 1}: {hosts.lost}; {shown}; {hosts.compared}, {len(wrong)} differences; "
            f"all of it {time.monotonic() - begun:.0f} s, load {os.getloadavg()[0]:.0f}, "
            f"held up for {held_up.longest_s:.1f} s at most"
        )
        if wrong:
            return wrong
    wrong = await hosts.compare()
    say(f"{kind}: {hosts.compared}, {len(hosts.own)} of them the exchange's own")
    return wrong


class _HeldUp:
    """How long the machine has let this process wait; the others wait like it."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self) -> None:
        """Looks until it is cancelled."""
        while True:
            begun = time.monotonic()
            await asyncio.sleep(_LOOK_S)
            self.longest_s = max(self.longest_s, time.monotonic() - begun - _LOOK_S)


@asynccontextmanager
async def _held_up() -> AsyncIterator[_HeldUp]:
    found = _HeldUp()
    task = asyncio.create_task(found.watch())
    try:
        yield found
    finally:
        task.cancel()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description="what is lost when hosts are")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each kind")
    parser.add_argument("--clients", type=int, default=100, help="clients that listen")
    parser.add_argument("--rate", type=float, default=0.0, help="trades a second of a made market; 0: a recording's")
    parser.add_argument("--seed", type=int, default=7, help="decides what is lost when")
    parser.add_argument("--folder", type=Path, help="where everything is kept; default: a temporary one")
    chosen = parser.parse_args()
    if reason := reason_for_none():
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="marketflow-hosts-") as made:
        folder = chosen.folder or Path(made)
        sys.exit(
            asyncio.run(run(chosen.kinds.split(","), chosen.rounds, chosen.clients, chosen.rate, chosen.seed, folder))
        )


if __name__ == "__main__":
    main()
