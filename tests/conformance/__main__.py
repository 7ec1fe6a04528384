"""`python -m tests.conformance [CLIENT ...]`, `make conformance`: foreign clients against the replay exchange.

Names of clients are patterns: `ccxt*`. Exit code 1 when one gets something wrong that its module does not name.
"""

import argparse
import sys
from fnmatch import fnmatch
from pathlib import Path

from tests.conformance.runner import CLIENTS, run_all, table


def main() -> int:
    """Runs those that are named, else all, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("clients", nargs="*", help="names or patterns; default all", default=["*"])
    parser.add_argument("--logs", type=Path, help="folder where reports and logs stay")
    arguments = parser.parse_args()
    chosen = [it for it in CLIENTS if any(fnmatch(it.name, f"{pattern}*") for pattern in arguments.clients)]
    if not chosen:
        parser.error(f"clients are {', '.join(it.name for it in CLIENTS)}")
    results = []
    for result in run_all(chosen, Path(sys.executable), arguments.logs):
        results.append(result)
        print(f"{result.client}: {result.passed}/{result.cases} {result.skipped}".rstrip(), flush=True)  # noqa: T201 - a command
    print(f"\n{table(results)}")  # noqa: T201
    return 0 if all(result.is_right for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
