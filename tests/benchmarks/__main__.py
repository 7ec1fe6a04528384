"""`make bench`: every figure beside its yardstick of the same run, as one table; the last one is kept in the docs."""

import logging
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import structlog

from tests.benchmarks import (
    bench_analytics,
    bench_books,
    bench_complete,
    bench_deployment,
    bench_flow,
    bench_hub,
    bench_load,
    bench_mongo,
    bench_trades,
)
from tests.benchmarks.rows import Row, table

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
PARTS = (
    bench_flow,
    bench_books,
    bench_trades,
    bench_mongo,
    bench_analytics,
    bench_hub,
    bench_deployment,
    bench_complete,
    bench_load,
)


def main() -> int:
    """Runs everything and prints the table; the exit code says whether every goal is met."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    rows: list[Row] = []
    for part in PARTS:
        name = part.__name__.rpartition("_")[2]
        print(f"{name} …", file=sys.stderr, flush=True)  # noqa: T201 - progress of minutes of work
        rows += part.run()
    text = table(rows)
    print(text)  # noqa: T201 - what the command is for
    _keep(text)
    return 0 if all(row.met for row in rows) else 1


def _keep(text: str) -> None:
    before, _, rest = DOCS.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    day = datetime.now(UTC).date()
    where = f"{day}, CPython {platform.python_version()}, 2 shared cores"
    DOCS.write_text(f"{before}{BEGIN}\n{where}\n\n{text}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
