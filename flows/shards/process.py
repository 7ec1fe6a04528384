"""The process of a shard: `python -m flows.shards.process`. It imports everything, and waits for a shard to run.

So a shard that is taken over runs a second or two earlier. What it waits for is one line of JSON at its input:
variables for its environment, and arguments of the engine. When its input ends without a line, so does it.
"""

import os
import runpy
import sys
from importlib import import_module
from typing import Final

import msgspec
from msgspec import Struct

MODULES: Final = (
    "bytewax.recovery", "flows.graph", "flows.process.engine_end", "flows.recovery", "flows.runtime.accounts",
    "flows.runtime.alerts", "flows.runtime.metrics", "flows.runtime.takeover", "flows.runtime.venue",
    "sinks.bus.client", "sinks.bus.writer", "sinks.hub.broadcast", "sources.connection.websockets_transport",
)  # fmt: skip
"""With what they import; none of them does anything at its import, as `flows.main` does."""


class Task(Struct, frozen=True):
    """What is to be run."""

    environment: dict[str, str]
    arguments: list[str]
    """Of the engine."""


def main() -> None:
    """Waits, and becomes the flow of a shard."""
    for name in MODULES:
        import_module(name)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    task = msgspec.json.decode(line, type=Task)
    os.environ.update(task.environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["bytewax.run", *task.arguments]
    runpy.run_module("bytewax.run", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
