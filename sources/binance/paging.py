"""Trades of Binance's REST side page by page: by their ids, or by the fills that aggregates cover."""

from collections.abc import Awaitable, Callable, Sequence

from flows.model import AggregateTrade, Trade
from flows.queries import TradesQuery
from sources.rest.answers import rising

PAGE = 1_000
"""Most rows per page that both markets serve."""
MOST_TRADES = 10_000
"""Most trades in the answer to one query; for more the caller queries the rest."""
_LATEST_ID = 2**63 - 1


async def by_id(query: TradesQuery, page_from: Callable[[int, int], Awaitable[Sequence[Trade]]]) -> list[Trade]:
    """Page by page from the first id on; `page_from` takes a first id and a limit. A page that is not full is the last
    one: later trades are not fetched.
    """
    found: list[Trade] = []
    following, last = query.first_id, min(query.last_id, query.first_id + MOST_TRADES - 1)
    while following <= last:
        limit = min(PAGE, last - following + 1)
        page = await page_from(following, limit)
        new = rising(page, _id_of, following, last)
        found += new
        if len(page) < limit or len(new) < len(page):
            break
        following = new[-1].id + 1
    return found


async def covering(
    query: TradesQuery,
    rows: Sequence[AggregateTrade],
    page_from: Callable[[int, int], Awaitable[Sequence[AggregateTrade]]],
) -> list[AggregateTrade]:
    """The aggregates whose fills lie within the ids, at most `MOST_TRADES`: those of the first page `rows`, which may
    be one of a time, and from there by id, for one moment may hold more of them than a page.
    """
    found: list[AggregateTrade] = []
    following = 0
    while rows:
        page = rising(rows, _id_of, following, _LATEST_ID)
        found += [trade for trade in page if query.first_id <= trade.first_id and trade.last_id <= query.last_id]
        newest = page[-1] if len(page) == len(rows) else None  # else the venue answers something else
        is_full = len(found) >= MOST_TRADES
        if newest is None or newest.last_id >= query.last_id or newest.time > query.end or is_full:
            break
        if following and len(rows) < PAGE:
            break  # the newest page; only the first one, of a time, may be short before
        following = newest.id + 1
        rows = await page_from(following, PAGE)
    return found[:MOST_TRADES]


def first_of(rows: Sequence[AggregateTrade], query: TradesQuery) -> int | None:
    """The id from which the aggregates of a query are to be asked for, where a page of its time begins behind its first
    fill; at most `MOST_TRADES` before the page. None where the page will do.
    """
    if not rows or rows[0].first_id <= query.first_id:
        return None
    # each aggregate has at least one fill, so the first wanted one is not before this id
    return max(0, rows[0].id - min(rows[0].first_id - query.first_id, MOST_TRADES))


def _id_of(trade: Trade) -> int:
    return trade.id
