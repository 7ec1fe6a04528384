"""`make bench`: every figure beside its yardstick of the same run, as one table; the last one is kept in the docs.

python -m tests.benchmarks [PART …]    # those named, e.g. `flow transport`, without keeping them; default: all
python -m tests.benchmarks soak [--minutes 10]
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
    bench_kills,
    bench_load,
    bench_memory,
    bench_mongo,
    bench_page,
    bench_shards,
    bench_signalr,
    bench_trades,
    bench_transport,
    bench_venues,
    bench_verify,
    soak,
)
from tests.benchmarks.rows import Row, table

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
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


def main(argv: Sequence[str]) -> int:
    """Runs what is named and prints the table; the exit code says whether every goal is met."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    tune_garbage_collector()  # as the flow does: a full collection would look through all that the parts have loaded
    rows = soak.run(argv[1:]) if argv and argv[0] == "soak" else _run(argv or list(PARTS))
    text = table(rows)
    print(text)  # noqa: T201 - what the command is for
    if not argv:
        _keep(text)
    return 0 if all(row.met for row in rows) else 1


def _run(names: Sequence[str]) -> list[Row]:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}, and soak")
    rows: list[Row] = []
    for name in names:
        print(f"{name} …", file=sys.stderr, flush=True)  # noqa: T201 - progress of minutes of work
        rows += PARTS[name].run()
    return rows


def _keep(text: str) -> None:
    before, _, rest = DOCS.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    day = datetime.now(UTC).date()
    where = f"{day}, CPython {platform.python_version()}, 2 shared cores"
    DOCS.write_text(f"{before}{BEGIN}\n{where}\n\n{text}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
