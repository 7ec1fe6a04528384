"""The checklist's rules of REST."""

from typing import Any, Final

from sources.replay.conformance.peer import Peer
from sources.replay.conformance.rules import (
    Rule,
    require,
    require_consecutive,
    require_decimals,
    require_fields,
    require_rising,
    some,
)

AREA: Final = "REST"
UNKNOWN_SYMBOL: Final = -1121
MISSING_PARAMETER: Final = -1102
_MINUTE_MS: Final = 60_000
_REFUSED: Final = 400
_NAMELESS: Final = "NOSUCHPAIR"
_MOST_KLINES: Final = {"spot": 1_000, "usdm": 1_500}
_MANY: Final = 500
_FEW: Final = 5
_AGGREGATE: Final = {"a": int, "p": str, "q": str, "f": int, "l": int, "T": int, "m": bool}
_TRADE: Final = {"id": int, "price": str, "qty": str, "time": int, "isBuyerMaker": bool}
_KLINE_COLUMNS: Final = 12
_DAY_TICKER: Final = {"openTime": int, "closeTime": int, "firstId": int, "lastId": int, "count": int}
_DAY_DECIMALS: Final = (
    "priceChange",
    "priceChangePercent",
    "lastPrice",
    "openPrice",
    "highPrice",
    "lowPrice",
    "volume",
)


async def _ping(peer: Peer) -> None:
    require(await peer.good("ping") == {}, "the answer is not {}")


async def _time(peer: Peer) -> None:
    times = [(await peer.good("time"))["serverTime"] for _ in range(2)]
    require(all(isinstance(one, int) for one in times), "serverTime is no integer", times)
    require(times[0] <= times[1], "serverTime goes back", times)


async def _instruments(peer: Peer) -> None:
    rows = (await peer.good("exchangeInfo"))["symbols"]
    [row] = [one for one in rows if one["symbol"] == peer.symbol]
    require_fields(row, {"status": str, "baseAsset": str, "quoteAsset": str, "filters": list})
    filters = {one["filterType"]: one for one in row["filters"]}
    require_decimals(filters["PRICE_FILTER"], ("minPrice", "maxPrice", "tickSize"))
    require_decimals(filters["LOT_SIZE"], ("minQty", "maxQty", "stepSize"))


async def _weight(peer: Peer) -> None:
    name = "x-mbx-used-weight-1m"
    used = [int((await peer.get("depth", symbol=peer.symbol, limit=100)).headers[name]) for _ in range(2)]
    require(used[1] != used[0], f"{name} does not move with requests", used)


async def _refused(peer: Peer, code: int, **parameters: Any) -> None:
    answer = await peer.get("depth", **parameters)
    require(answer.status == _REFUSED, f"the status is {answer.status}", answer.body)
    require_fields(answer.body, {"code": int, "msg": str})
    require(answer.body["code"] == code, f"the code is not {code}", answer.body)


async def _unknown_symbol(peer: Peer) -> None:
    await _refused(peer, UNKNOWN_SYMBOL, symbol=_NAMELESS)


async def _missing_symbol(peer: Peer) -> None:
    await _refused(peer, MISSING_PARAMETER)


async def _book(peer: Peer) -> None:
    body = await peer.good("depth", symbol=peer.symbol, limit=_FEW)
    require_fields(body, {"lastUpdateId": int, "bids": list, "asks": list})
    bids, asks = ([float(price) for price, _ in body[side]] for side in ("bids", "asks"))
    require(max(len(bids), len(asks)) <= _FEW, f"more levels than limit={_FEW}", body)
    require(bids == sorted(bids, reverse=True) and asks == sorted(asks), "the levels are not in order", body)
    require(not (bids and asks) or bids[0] < asks[0], "bid and ask cross", body)


async def _aggregates(peer: Peer) -> None:
    rows = some(await peer.good("aggTrades", symbol=peer.symbol, limit=_MANY), "aggTrades", 2)
    for row in rows:
        require_fields(row, _AGGREGATE)
        require(row["f"] <= row["l"], "f is above l", row)
    require_consecutive([row["a"] for row in rows], "ids of aggregates")
    require_rising([row["f"] for row in rows], "first fills")
    again = await peer.good("aggTrades", symbol=peer.symbol, fromId=rows[0]["a"], limit=1)
    require(again == [rows[0]], "fromId does not include the trade that it names", again)


async def _trades(peer: Peer) -> None:
    rows = some(await peer.good("trades", symbol=peer.symbol, limit=_MANY), "trades", 2)
    for row in rows:
        require_fields(row, _TRADE)
    require_rising([row["id"] for row in rows], "ids of trades")


async def _klines(peer: Peer) -> None:
    most = _MOST_KLINES[peer.market]
    rows = await peer.good("klines", symbol=peer.symbol, interval="1m", limit=most)
    require(0 < len(rows) <= most, f"{len(rows)} rows for limit={most}")
    for row in rows:
        require(len(row) == _KLINE_COLUMNS, f"a row has not {_KLINE_COLUMNS} columns", row)
        begin, end, count = row[0], row[6], row[8]
        require(begin % _MINUTE_MS == 0 and end == begin + _MINUTE_MS - 1, "a row is not of one minute", row)
        require(isinstance(count, int), "the number of trades is no integer", row)
        opens, high, low, close = (float(text) for text in row[1:5])
        require(low <= min(opens, close) <= max(opens, close) <= high, "open or close is beyond high and low", row)
    require_rising([row[0] for row in rows], "begins of klines")


async def _day(peer: Peer) -> None:
    body = await peer.good("ticker/24hr", symbol=peer.symbol)
    require_fields(body, _DAY_TICKER)
    require_decimals(body, _DAY_DECIMALS)
    low, last, high = (float(body[name]) for name in ("lowPrice", "lastPrice", "highPrice"))
    require(low <= last <= high, "the last price is beyond high and low", body)
    change = last - float(body["openPrice"])
    require(abs(change - float(body["priceChange"])) <= 1e-6 * high, "priceChange is not last less open", body)
    require(body["count"] == body["lastId"] - body["firstId"] + 1, "count is not what the ids say", body)


async def _premium(peer: Peer) -> None:
    body = await peer.good("premiumIndex", symbol=peer.symbol)
    require_fields(body, {"symbol": str, "nextFundingTime": int, "time": int})
    require_decimals(body, ("markPrice", "indexPrice", "lastFundingRate"))


async def _funding(peer: Peer) -> None:
    rows = some(await peer.good("fundingRate", symbol=peer.symbol, limit=10), "funding")
    for row in rows:
        require_fields(row, {"symbol": str, "fundingTime": int})
        require_decimals(row, ("fundingRate",))
    require_rising([row["fundingTime"] for row in rows], "times of funding")


async def _interest(peer: Peer) -> None:
    body = await peer.good("openInterest", symbol=peer.symbol)
    require_fields(body, {"symbol": str, "time": int})
    require_decimals(body, ("openInterest",))


RULES: Final = (
    Rule(AREA, "ping is answered by {}", _ping),
    Rule(AREA, "serverTime is in ms and never goes back", _time),
    Rule(AREA, "exchangeInfo has status, assets and filters of the symbol", _instruments),
    Rule(AREA, "each answer says the used weight", _weight),
    Rule(AREA, "an unknown symbol is refused by 400 and -1121", _unknown_symbol),
    Rule(AREA, "a missing parameter is refused by 400 and -1102", _missing_symbol),
    Rule(AREA, "depth is in order, not crossed and within its limit", _book),
    Rule(AREA, "aggTrades have ids without a hole, and fromId is inclusive", _aggregates),
    Rule(AREA, "trades have rising ids", _trades),
    Rule(AREA, "klines are of whole minutes, in order and within the limit", _klines),
    Rule(AREA, "ticker/24hr agrees with itself", _day),
)
"""Of both markets."""

USDM_RULES: Final = (
    Rule(AREA, "premiumIndex has mark price, index price and funding rate", _premium),
    Rule(AREA, "fundingRate is in order", _funding),
    Rule(AREA, "openInterest is there", _interest),
)
