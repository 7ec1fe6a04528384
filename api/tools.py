"""What agents may ask. Every method is a tool, its docstring the description that the agent reads.

An answer is `data` with `freshness` (how old it is, what kind of data it is, what is missing in the deployment) and
`completeness` (what is known to lack). Nothing is changed by asking. `Failure` carries the reason in words.
"""

import asyncio
from collections import Counter
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from api.rest_client import Failure, RestClient

Symbol: TypeAlias = Annotated[
    str, Field(pattern="^[A-Za-z0-9_]{1,32}$", description="the venue's own name, such as BTCUSDT")
]
Timeframe: TypeAlias = Literal["1m", "5m", "15m", "1h", "4h", "1d"]
Count: TypeAlias = Annotated[int, Field(ge=1, le=1_000, description="how many, the newest; the server may allow fewer")]
Hours: TypeAlias = Annotated[int, Field(ge=1, le=168, description="how far back, from the newest trade")]
Reply: TypeAlias = dict[str, Any]

NO_ACCOUNT: Final = "no account is connected, so there are no balances and no positions"


class Tools:
    """The tools over one interface; answers hold at most `rows` candles, levels or rows of a profile."""

    def __init__(self, client: RestClient, *, rows: int) -> None:
        self._client = client
        self._rows = rows

    async def get_current_price(self, symbol: Symbol) -> Reply:
        """The latest price of a symbol and how it moved in 24 hours. `stale` prices must not be taken for current."""
        data, status = await self._ask("prices", symbol)
        known = data["price_change_percent_24h"] is not None
        return _reply(data, status, data["age_ms"], stale=data["stale"], completeness={"has_24h_figures": known})

    async def get_candles(
        self,
        symbol: Symbol,
        timeframe: Timeframe = "1h",
        limit: Count = 50,
        end: Annotated[int | None, Field(ge=0, description="candles that open before this time, ms UTC")] = None,
    ) -> Reply:
        """Candles of a symbol, oldest first; the last one is still forming unless `is_closed`. The status of a candle
        is `forming`, `final` (complete), `repaired` (completed later), `venue` (the exchange's own) or `partial` (lacks
        trades).
        """
        count = min(limit, self._rows)
        answer, status, (age_ms, stale) = await asyncio.gather(
            self._client.get("chart", symbol, timeframe, limit=count, end=end), self._status(), self._price_age(symbol)
        )
        if answer.accepted:
            raise Failure(
                "collecting",
                f"no {timeframe} candle of {symbol} is stored yet; they are being fetched: "
                f"try again in {answer.data['wait_s']:g} s",
            )
        candles = answer.data["candles"]
        statuses = Counter(candle["status"] for candle in candles)
        completeness = {
            "candles": len(candles),
            "asked_for": limit,
            "by_status": dict(statuses),
            "lacks_trades": statuses["partial"] > 0,
            "more_are_being_fetched": answer.data.get("history") is not None,
        }
        data = {name: answer.data[name] for name in ("venue", "symbol", "timeframe", "candles", "latest_price")}
        return _reply(data, status, age_ms, stale=stale, completeness=completeness)

    async def get_technical_indicators(
        self,
        symbol: Symbol,
        timeframe: Timeframe = "1h",
        names: Annotated[
            list[Annotated[str, Field(pattern="^[A-Za-z]{1,10}(:[0-9.]{1,8}){0,3}$")]],
            Field(
                min_length=1,
                max_length=20,
                description="sma ema wma bbands macd rsi stoch atr obv vwap, with parameters behind colons: ema:50",
            ),
        ] = ["rsi", "macd", "bbands", "ema", "sma"],  # noqa: B006 - it is never changed
        limit: Count = 1,
    ) -> Reply:
        """Technical indicators for the newest candles, the forming one included; null where a value is not defined."""
        count = min(limit, self._rows)
        data, status = await self._ask("indicators", symbol, timeframe, names=",".join(names), limit=count)
        completeness = {
            "candles": len(data["timestamps"]),
            "by_status": data["statuses"],
            "settled": data["settled"],
            "last_is_closed": data["is_closed"],
        }
        return _reply(data, status, data["age_ms"], stale=data["stale"], completeness=completeness)

    async def get_volume_profile(
        self,
        symbol: Symbol,
        hours: Hours = 24,
        bins: Annotated[int, Field(ge=1, le=1_000)] = 50,
        value_area: Annotated[float, Field(ge=0.01, le=1)] = 0.7,
    ) -> Reply:
        """How much was traded at which price: rows, point of control (poc) and value area (val to vah)."""
        data, status = await self._ask(
            "volume-profile", symbol, hours=hours, bins=min(bins, self._rows), value_area=value_area
        )
        return _of_trades(data, status)

    async def get_liquidity_vacuums(self, symbol: Symbol, hours: Hours = 24, limit: Count = 20) -> Reply:
        """Price zones that hardly traded although their neighbours did, the nearest to the price first."""
        data, status = await self._ask("liquidity-vacuums", symbol, hours=hours)
        data["vacuums"] = data["vacuums"][: min(limit, self._rows)]
        return _of_trades(data, status)

    async def get_order_book(self, symbol: Symbol, depth: Count = 20) -> Reply:
        """The best bids and asks, best first, each `[price, quantity]`. Do not take a `stale` book for current."""
        data, status = await self._ask("orderbook", symbol, depth=min(depth, self._rows))
        completeness = {"bids": len(data["bids"]), "asks": len(data["asks"]), "asked_for": depth}
        return _reply(data, status, data["age_ms"], stale=data["stale"], completeness=completeness)

    async def get_data_quality(self, symbol: Symbol) -> Reply:
        """How good the stored data of a symbol is: candles by status and by proof against the exchange's own, share of
        the issued trades that are stored, and the last incidents.
        """
        data, status = await self._ask("quality", symbol=symbol)
        data["incidents"] = data["incidents"][: self._rows]
        ages = [series["written_ms_ago"] for series in data["series"]]
        shares = {trades["symbol"]: trades["completeness"] for trades in data["trades"] or ()}
        return _reply(
            data,
            status,
            min(ages, default=None),
            stale=None,
            completeness={"trades_stored": shares.get(symbol.upper())},
        )

    async def current_position(self) -> Reply:
        """The open positions of the connected account; says so when none is connected."""
        status = await self._status()
        try:
            answer = await self._client.get("positions")
        except Failure as failure:
            if failure.code != "not_built":
                raise
            data = {"connected": False, "positions": [], "message": NO_ACCOUNT}
            return _reply(data, status, None, stale=None, completeness={"connected": False})
        data = {"connected": True, "positions": answer.data}
        return _reply(data, status, None, stale=None, completeness={"connected": True})

    async def _ask(self, *path: str, **query: Any) -> tuple[Any, Any]:
        answer, status = await asyncio.gather(self._client.get(*path, **query), self._status())
        return answer.data, status

    async def _status(self) -> Any:
        return (await self._client.get("status")).data

    async def _price_age(self, symbol: str) -> tuple[int | None, bool]:
        """Age of the symbol's price, and whether that is too old: candles are not fresher than it."""
        try:
            price = (await self._client.get("prices", symbol)).data
        except Failure:
            return None, True
        return price["age_ms"], price["stale"]


def _reply(data: Any, status: Any, age_ms: int | None, *, stale: bool | None, completeness: Reply) -> Reply:
    freshness = {"age_ms": age_ms, "stale": stale, "origin": status["origin"], "missing": status["missing"]}
    return {"data": data, "freshness": freshness, "completeness": completeness}


def _of_trades(data: Any, status: Any) -> Reply:
    basis = data.pop("basis")
    completeness = {"trades_stored": basis["completeness"], "from": basis["start"], "to": basis["end"]}
    return _reply(data, status, basis["age_ms"], stale=None, completeness=completeness)
