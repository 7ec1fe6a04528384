"""`python -m tests.conformance.child MODULE MARKET ADDRESS REPORT`: runs the cases of one client in its environment.

The report is a file of JSON lines, for clients print on standard output what they like.
"""

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.conformance.exchange import Exchange
from tests.conformance.suite import Suite, run


def main(module: str, market: str, address: str, report: str) -> None:
    """Runs them, and ends the process whatever threads the client has left."""
    with Path(report).open("a", encoding="utf-8", buffering=1) as lines:

        def write(row: dict[str, Any]) -> None:
            lines.write(json.dumps(row) + "\n")

        suite: Suite = importlib.import_module(f"tests.conformance.clients.{module}").SUITE
        asyncio.run(run(suite, Exchange(market, address), write))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
