"""Accounts as polars frames: what they were worth, and the newest balances and positions that are stored.

    with open_frames(load_settings()) as frames:  # of `flows.dataframes`
        account_totals(frames)

Amounts and prices are Float64, which is enough for research; the documents have every digit.
"""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from flows.model import AccountTotal, Balance, Position
from sinks.dataframes import TIMESTAMP, Frames, Moment, columns
from sinks.mongo.accounts import ACCOUNT, ACCOUNT_HISTORY, AS_DOUBLES
from sinks.trades.codec import END_MS

TOTAL_SCHEMA: Final = columns(AccountTotal, ("time", "account", "quote", "total", "unrealised_pnl", "price_time"))
BALANCE_SCHEMA: Final = columns(
    Balance,
    ("event_time", "account", "asset", "free", "locked", "total", "value", "quote", "is_computed", "price_time"),
)
POSITION_SCHEMA: Final = columns(
    Position,
    ("event_time", *(name for name in Position.__struct_fields__ if name not in ("venue", "event_time"))),
)


def account_totals(
    frames: Frames, start: Moment = 0, end: Moment = END_MS, *, account: str | None = None
) -> pl.DataFrame:
    """What the accounts of the frames' venue were worth, minute by minute, oldest first: `time`, `account`, `quote`,
    `total` (of balances with a price, and the unrealised profit of positions), `unrealised_pnl`, `price_time` (of the
    oldest of those prices); of one account, or of all.
    """
    return _frame(frames, ACCOUNT_HISTORY, {}, "time", TOTAL_SCHEMA, account, start, end)


def balances(frames: Frames, *, account: str | None = None) -> pl.DataFrame:
    """The newest balances of the accounts, in the order of their last change `event_time`, without those of nothing:
    `account`, `asset`, `free`, `locked`, `total`, `value` in `quote`, `is_computed`, `price_time`.
    """
    frame = _frame(frames, ACCOUNT, {"kind": "balance"}, "event_time", BALANCE_SCHEMA, account)
    return frame.filter(pl.col("total") != 0)


def positions(frames: Frames, *, account: str | None = None) -> pl.DataFrame:
    """The newest open positions of the accounts, in the order of their last change `event_time`: the fields of the
    model, null where the venue does not report them.
    """
    frame = _frame(frames, ACCOUNT, {"kind": "position"}, "event_time", POSITION_SCHEMA, account)
    return frame.filter(pl.col("quantity") != 0)


def _frame(
    frames: Frames,
    collection: str,
    of: Mapping[str, Any],
    time: str,
    schema: Mapping[str, pl.DataType],
    account: str | None,
    start: Moment = 0,
    end: Moment = END_MS,
) -> pl.DataFrame:
    wanted = {"venue": frames.venue, **of, **({} if account is None else {"account": account})}
    found = list(frames.iterate_documents(collection, wanted, time, start, end, schema, options=AS_DOUBLES))
    return pl.concat(found) if found else pl.DataFrame(schema={**schema, "timestamp": TIMESTAMP})
