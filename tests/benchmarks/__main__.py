"""`make bench`: every figure beside its yardstick of the same run, as one table; the last one is kept in the docs.

python -m tests.benchmarks             # all but the long ones
python -m tests.benchmarks long        # what waits: kills, imports, hours of market; a table of its own
python -m tests.benchmarks PART …      # those named, e.g. `flow transport`, without keeping them
python -m tests.benchmarks soak [--minutes 10]
python -m tests.benchmarks page-hour [--minutes 60]
"""

import logging
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from flows.process.gc import tune_garbage_collector
from tests.benchmarks import (
    bench_accounts,
    bench_analytics,
    bench_api,
    bench_books,
    bench_bus,
    bench_complete,
    bench_deployment,
    bench_exchange,
    bench_export,
    bench_flow,
    bench_four,
    bench_fuzz,
    bench_hub,
    bench_imports,
    bench_kafka,
    bench_kills,
    bench_load,
    bench_memory,
    bench_mongo,
    bench_nodes,
    bench_page,
    bench_shards,
    bench_signalr,
    bench_trades,
    bench_transport,
    bench_venues,
    bench_verify,
    page_hour,
    soak,
)
from tests.benchmarks.rows import Row, table

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
MARKS = {name: (f"<!-- {name}: begin -->", f"<!-- {name}: end -->") for name in ("table", "long")}
"""Around the table of the usual parts, and around that of the long ones."""
PARTS = {
    part.__name__.rpartition("_")[2]: part
    for part in (
        bench_flow,
        bench_transport,
        bench_shards,
        bench_books,
        bench_venues,
        bench_four,
        bench_fuzz,
        bench_trades,
        bench_verify,
        bench_mongo,
        bench_analytics,
        bench_export,
        bench_hub,
        bench_bus,
        bench_nodes,
        bench_kafka,
        bench_signalr,
        bench_api,
        bench_page,
        bench_accounts,
        bench_deployment,
        bench_complete,
        bench_kills,
        bench_imports,
        bench_load,
        bench_memory,
        bench_exchange,
    )
}
WAITING = {"soak": soak.run, "page-hour": page_hour.run}
"""Commands of their own, with options."""
LONG = ("complete", "kills", "imports", "load", "exchange")
"""Parts that take a quarter of an hour each, as they wait for processes that were killed, or for a market to go on."""


def main(argv: Sequence[str]) -> int:
    """Runs what is named and prints the table; the exit code says whether every goal is met."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    tune_garbage_collector()  # as the flow does: a full collection would look through all that the parts have loaded
    names = list(argv)
    if not argv:
        names = [name for name in PARTS if name not in LONG]
    elif names == ["long"]:
        names = list(LONG)
    waits = WAITING.get(argv[0]) if argv else None
    rows = waits(argv[1:]) if waits else _run(names)
    text = table(rows)
    print(text)  # noqa: T201 - what the command is for
    if not argv or [*argv] == ["long"]:
        _keep(text, *MARKS["long" if argv else "table"])
    return 0 if all(row.met for row in rows) else 1


def _run(names: Sequence[str]) -> list[Row]:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}, long, {', '.join(WAITING)}")
    rows: list[Row] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)  # noqa: T201 - progress of minutes of work
        rows += PARTS[name].run()
    return rows


def _keep(text: str, begin: str, end: str) -> None:
    before, _, rest = DOCS.read_text().partition(begin)
    _, _, after = rest.partition(end)
    day = datetime.now(UTC).date()
    where = f"{day}, CPython {platform.python_version()}, 2 shared cores"
    DOCS.write_text(f"{before}{begin}\n{where}\n\n{text}\n{end}{after}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
