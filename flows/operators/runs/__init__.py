"""What is done with each trade of a run: in C where that was compiled, else in plain Python, with the same results.

A sum may have other parts then, which together are the same. `scan_aggregates` and `scan_fills` of C take ids and times
of up to 2⁶² and say None of larger ones, `add_up` an `OverflowError`: who calls them goes the way for whatever is odd.
`shown_sum` calls plain Python itself for that.
"""

from functools import partial

from flows.modules.compiled import compiled
from flows.operators.runs import plain

_runs = compiled(
    "flows.operators.runs._runs",
    "scan_aggregates", "scan_fills", "add_up", "shown_sum", "by_symbol", "newest_event",
)  # fmt: skip

scan_aggregates = plain.scan_aggregates if _runs is None else _runs.scan_aggregates
scan_fills = plain.scan_fills if _runs is None else _runs.scan_fills
add_up = plain.add_up if _runs is None else _runs.add_up
shown_sum = plain.shown_sum if _runs is None else partial(_runs.shown_sum, plain.shown_sum)
by_symbol = plain.by_symbol if _runs is None else _runs.by_symbol
newest_event = plain.newest_event if _runs is None else _runs.newest_event
IS_COMPILED = _runs is not None
