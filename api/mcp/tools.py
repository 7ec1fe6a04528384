"""The tools for agents. Every public method of `Tools` is a tool; agents read its docstring as the description.

A reply is `data` with `freshness` (age, origin, what of the deployment is down) and `completeness` (what is known to
be missing). All tools only read. They raise `Failure` with the reason as text.
"""

import asyncio
from collections import Counter
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field

from api.mcp.client import Failure, RestClient
from api.mcp.replies import Reply, describe, fresh, is_stale, of_trades, reply, state_of
from flows.model import Instrument
from flows.names import SYMBOL_CHARACTERS, SYMBOL_LENGTH, symbol_of

Symbol: TypeAlias = Annotated[
    str,
    AfterValidator(symbol_of),
    Field(
        pattern=f"^{SYMBOL_CHARACTERS}{{1,{SYMBOL_LENGTH}}}$",  # pydantic: `$` is the end alone, no lookahead
        description="any common spelling: BTCUSDT, btc/usdt, XBT-USD; answers have the venue's own",
        examples=["BTCUSDT"],
    ),
]
Asset: TypeAlias = Annotated[
    str,
    Field(
        pattern=f"^{SYMBOL_CHARACTERS}{{0,{SYMBOL_LENGTH}}}$", description="an asset: BTC, xbt, usdt", examples=["BTC"]
    ),
]
OneAsset: TypeAlias = Annotated[Asset, Field(min_length=1)]
_VENUE: Final = "^[a-z0-9-]{0,32}$"
VenueName: TypeAlias = Annotated[str, Field(pattern=_VENUE, description="binance, kraken, …; empty: all")]
OneVenue: TypeAlias = Annotated[
    str,
    Field(
        pattern=_VENUE,
        description="needed only where several venues have the symbol: binance, kraken, …",
        examples=["binance"],
    ),
]
Timeframe: TypeAlias = Literal["1m", "5m", "15m", "1h", "4h", "1d"]
Candles: TypeAlias = Annotated[
    int, Field(ge=1, le=1_000, description="number of newest candles; completeness shows if there are fewer")
]
Hours: TypeAlias = Annotated[int, Field(ge=1, le=168, description="how far back, from the newest trade")]

Fired: TypeAlias = Annotated[int, Field(ge=1, le=1_000, description="number of newest alerts")]
NO_ACCOUNT: Final = "no account is connected, so there are no balances and no positions"


class Tools:
    """The tools over one REST API; replies hold at most `rows` candles, levels or rows of a profile."""

    def __init__(self, client: RestClient, *, rows: int) -> None:
        self._client = client
        self._rows = rows

    async def get_overview(self) -> Reply:
        """Every followed symbol, one row each: price, change and volume of 24 hours, and the analysis (get_analysis has
        the reasons). Figures are null where unknown; a row that is `stale` is not current.
        """
        data, status = await self._query("overview")
        ages = [row["age_ms"] for row in data if row["age_ms"] is not None]
        counts = Counter(row["symbol"] for row in data)
        names = [row["symbol"] if counts[row["symbol"]] == 1 else f"{row['venue']}:{row['symbol']}" for row in data]
        stale = [name for name, row in zip(names, data, strict=True) if row["stale"]]
        return reply(
            data[: self._rows],
            status,
            max(ages, default=None),
            stale=bool(stale),
            state={name: row["state"] for name, row in zip(names[: self._rows], data, strict=False)},
            completeness={"symbols": len(data), "shown": min(len(data), self._rows), "stale_symbols": stale},
        )

    async def get_current_price(self, symbol: Symbol, venue: OneVenue = "") -> Reply:
        """The latest traded price of a symbol, and how it moved in the last 24 hours."""
        data, status = await self._query("prices", symbol, symbol=symbol, venue=venue)
        known = data["price_change_percent_24h"] is not None
        return fresh(data, status, completeness={"has_24h_figures": known})

    async def get_candles(
        self,
        symbol: Symbol,
        timeframe: Timeframe = "1h",
        limit: Candles = 50,
        end: Annotated[
            Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=40)] | None,
            Field(description="only candles that open before this time: 2026-01-31T12:00:00Z, or ms UTC since 1970"),
        ] = None,
        venue: OneVenue = "",
    ) -> Reply:
        """Candles of a symbol, oldest first; `timestamp` is when one opens. The last one is still forming unless
        `is_closed`. Status: `forming`; `final` (complete), `repaired` (completed later), `venue` (the exchange's own);
        `partial` (misses trades), `unproven` (may miss trades). `revision` counts how often a closed one was corrected.
        """
        count = min(limit, self._rows)
        answer, status, age_ms = await asyncio.gather(
            self._chart(symbol, timeframe, limit=count, end=end, venue=venue),
            self._status(),
            self._price_age(symbol, venue),
        )
        candles = answer["candles"]
        statuses = Counter(candle["status"] for candle in candles)
        completeness = {
            "candles": len(candles),
            "asked_for": limit,
            "by_status": dict(statuses),
            "lacks_trades": statuses["partial"] + statuses["unproven"] > 0,
            "more_are_being_fetched": answer.get("history") is not None,
        }
        data = {name: answer[name] for name in ("venue", "symbol", "timeframe", "latest_price", "candles")}
        return reply(
            data,
            status,
            age_ms,
            stale=answer["stale"],
            state=describe(status, Instrument(answer["venue"], answer["symbol"]), answer["state"]),
            completeness=completeness,
        )

    async def get_technical_indicators(
        self,
        symbol: Symbol,
        timeframe: Timeframe = "1h",
        names: Annotated[
            list[Annotated[str, Field(pattern="^[A-Za-z]{1,10}(:[0-9.]{1,8}){0,3}$")]],
            Field(
                min_length=1,
                max_length=20,
                description="sma ema wma bbands macd rsi stoch atr obv vwap, with optional parameters after colons: "
                "ema:50, macd:12:26:9, bbands:20:2.5",
            ),
        ] = ["rsi", "macd", "bbands", "ema", "sma"],  # noqa: B006 - it is never changed
        limit: Candles = 1,
        venue: OneVenue = "",
    ) -> Reply:
        """Technical indicators, a value for each of the newest candles (`timestamps`, oldest first), the forming one
        included: it is the last unless completeness.last_is_closed. Null where a value is not defined yet. Where
        completeness.settled is false there were fewer candles than an indicator remembers, so its values may still
        differ from those of a longer history.
        """
        count = min(limit, self._rows)
        try:
            data, status = await self._query(
                "indicators", symbol, timeframe, names=",".join(names), limit=count, venue=venue
            )
        except Failure as failure:
            if failure.code == "no_data":
                await self._chart(symbol, timeframe, limit=1, venue=venue)  # requests the candles; fails with the wait
            raise
        completeness = {
            "candles": len(data["timestamps"]),
            "by_status": data.pop("statuses"),
            "settled": data.pop("settled"),
            "last_is_closed": data.pop("is_closed"),
        }
        return fresh(data, status, completeness=completeness)

    async def get_analysis(self, symbol: Symbol, venue: OneVenue = "") -> Reply:
        """The common indicators of several timeframes combined: `signal`, `score` from -1 (down) to 1 (up),
        `confidence` from 0 to 1, and the reasons in words. It is arithmetic on the past, not a forecast. The
        confidence is `agreement` (of the timeframes) * `data` (enough candles) * `calm` (usual volatility).
        """
        data, status = await self._query("analysis", symbol, symbol=symbol, venue=venue)
        analysis = data.pop("analysis")
        candles = {one["timeframe"]: one["candles"] for one in analysis["timeframes"]}
        return fresh({**data, **analysis}, status, completeness={"data": analysis["data"], "candles": candles})

    async def get_volume_profile(
        self,
        symbol: Symbol,
        hours: Hours = 24,
        bins: Annotated[int, Field(ge=1, le=1_000, description="maximum number of rows of equal height")] = 50,
        value_area: Annotated[float, Field(ge=0.01, le=1, description="share of the volume, 0.7 is 70 %")] = 0.7,
        venue: OneVenue = "",
    ) -> Reply:
        """How much was traded at which price in the last hours: the price with the most volume (`poc`), the range that
        holds `value_area` of it (`val` to `vah`), and rows from the lowest price to the highest, each with what takers
        bought and sold. completeness.trades_stored is the share of the trades between `from` and `to` that was counted.
        """
        data, status = await self._query(
            "volume-profile",
            symbol,
            symbol=symbol,
            venue=venue,
            hours=hours,
            bins=min(bins, self._rows),
            value_area=value_area,
        )
        profile = data.pop("profile")
        rows = profile.pop("rows")
        return of_trades({**data, **profile, "rows": rows}, status)

    async def get_liquidity_vacuums(
        self,
        symbol: Symbol,
        hours: Hours = 24,
        limit: Annotated[int, Field(ge=1, le=1_000, description="maximum number of zones")] = 20,
        venue: OneVenue = "",
    ) -> Reply:
        """Price zones (`low` to `high`) that hardly traded although their neighbours did, the nearest to the price
        first: a move through them meets little. `fill` is the zone's volume a row by that of its neighbours; `distance`
        is from the price. `bid_quantity` and `ask_quantity` rest in the zone now, null without an order book.
        """
        data, status = await self._query("liquidity-vacuums", symbol, symbol=symbol, venue=venue, hours=hours)
        data["vacuums"] = data["vacuums"][: min(limit, self._rows)]
        return of_trades(data, status)

    async def get_order_book(
        self,
        symbol: Symbol,
        depth: Annotated[int, Field(ge=1, le=1_000, description="maximum number of levels a side")] = 20,
        venue: OneVenue = "",
    ) -> Reply:
        """The best bids and asks, best first, each `[price, quantity]`. `imbalance` is from -1 (only asks) to 1 (only
        bids). A book that is not `synced` may be wrong: do not use it.
        """
        data, status = await self._query("orderbook", symbol, symbol=symbol, venue=venue, depth=min(depth, self._rows))
        completeness = {"bids": len(data["bids"]), "asks": len(data["asks"]), "asked_for": depth}
        return fresh(data, status, completeness=completeness)

    async def get_derivative(
        self,
        symbol: Symbol,
        limit: Annotated[int, Field(ge=1, le=1_000, description="rows of each history, the newest")] = 10,
        venue: OneVenue = "",
    ) -> Reply:
        """A futures contract: `mark` (the price by which positions are valued, and the index that it follows),
        `funding` (the rate that is paid at `next_time`, positive: longs pay shorts; and settled payments), open
        interest (quantity of open contracts), and liquidations (`SELL` ended a long position). Histories are oldest
        first. What a symbol has not, as at a spot market, is null.
        """
        count = min(limit, self._rows)
        parts = await asyncio.gather(
            self._derivative("mark-price", symbol, venue=venue),
            self._derivative("funding", symbol, limit=count, venue=venue),
            self._derivative("open-interest", symbol, limit=count, venue=venue),
            self._derivative("liquidations", symbol, limit=count, venue=venue),
        )
        mark, funding, interest, orders = parts
        if mark is None and funding is None and interest is None:
            raise Failure("no_data", f"{symbol.upper()} is no derivative, or nothing is known of it yet")
        status = await self._status()
        data = {"mark": mark, "funding": funding, "open_interest": interest, "liquidations": orders}
        completeness = {"liquidations": "the exchange reports one a second at the most"}
        first = mark or {"age_ms": None, "stale": True, "state": None}
        instrument = next(Instrument(one["venue"], one["symbol"]) for one in (mark, funding, interest) if one)
        age_ms, stale = first["age_ms"], first["stale"]
        state = describe(status, instrument, first["state"])
        return reply(data, status, age_ms, stale=stale, state=state, completeness=completeness)

    async def _derivative(self, name: str, symbol: str, **query: Any) -> Any:
        """An answer about a contract; None where there is none."""
        try:
            return (await self._client.get(name, symbol, **query)).data
        except Failure as failure:
            if failure.code != "no_data":
                raise
            return None

    async def get_data_quality(self, symbol: Symbol, venue: OneVenue = "") -> Reply:
        """Quality of the stored data of a symbol. For each timeframe: candles by status, and by proof (`equal` to the
        exchange's own candle, `exchange's own` where the candle is the exchange's, `ours wrong`, `theirs wrong`, `not
        comparable`, or `not compared` so far). Of the trades: how many ids the exchange issued, and how many are held.
        And the last incidents, newest first.
        """
        data, status = await self._query("quality", symbol=symbol, venue=venue)
        own = next((one["symbol"] for one in (*data["series"], *(data["trades"] or ()))), symbol)
        data["incidents"] = data["incidents"][: self._rows]
        ages = [series["written_ms_ago"] for series in data["series"]]
        shares = {trades["symbol"]: trades["completeness"] for trades in data["trades"] or ()}
        return reply(
            data,
            status,
            min(ages, default=None),
            stale=is_stale(status, Instrument(data["venue"], own)),
            state=state_of(status, Instrument(data["venue"], own)),
            completeness={"trades_stored": shares.get(own)},
        )

    async def find_instruments(self, base: Asset = "", quote: Asset = "", venue: VenueName = "") -> Reply:
        """The instruments that the venues list, by base and quote asset (BTC, xbt) and venue: the same market on all of
        them. Each with its status (`TRADING` where trades are made), decimals, and whether it is `followed`.
        """
        data, status = await self._query("instruments", base=base, quote=quote, venue=venue, limit=self._rows)
        completeness = {
            "found": data.pop("found"),
            "shown": len(data["instruments"]),
            "venues_without_list": data.pop("without_list"),
        }
        return reply(data, status, None, stale=None, state=None, completeness=completeness)

    async def compare_prices(self, base: OneAsset) -> Reply:
        """The newest price of a base asset (BTC, xbt) on each venue, with its age and state, by quote asset, and the
        `spread` between those that are current. Prices in USD, USDT and USDC are apart: they are not the same money.
        """
        data, status = await self._query("compare", base)
        prices = [price for quote in data["quotes"] for price in quote["prices"]]
        stale = [f"{price['symbol']} of {price['venue']}" for price in prices if price["stale"]]
        return reply(
            data,
            status,
            max(price["age_ms"] for price in prices),
            stale=bool(stale),
            state={f"{price['venue']}:{price['symbol']}": price["state"] for price in prices},
            completeness={"prices": len(prices), "stale": stale},
        )

    async def get_capabilities(self, venue: VenueName = "") -> Reply:
        """What is proven of each kind of a venue's data (trades, candles, book, …), by which witness, and what no
        witness covers, in words.
        """
        data, status = await self._query("quality", "capabilities", venue=venue)
        return reply(data, status, None, stale=None, state=None, completeness={"venues": len(data)})

    async def get_alerts(self, limit: Fired = 20) -> Reply:
        """The rules of alerts (`rules`, each with its newest alert as `last`; `watched` is false where alerts are off),
        and what has `fired`, newest first. People make and delete rules; this only reads.
        """
        count = min(limit, self._rows)
        (rules, status), (fired, _) = await asyncio.gather(
            self._query("alerts"), self._query("alerts", "history", limit=count)
        )
        data = {"rules": rules["rules"][: self._rows], "fired": fired["alerts"]}
        return reply(data, status, None, stale=None, state=None, completeness={"rules": len(rules["rules"])})

    async def get_balances(self, venue: VenueName = "") -> Reply:
        """What the connected accounts hold of each asset: `free`, `locked`, `total`, and the `value` of the total in
        `quote` where a price is known; `connected` is false without an account.
        """
        return await self._of_accounts("balance", venue)

    async def current_position(self, venue: VenueName = "") -> Reply:
        """The open positions of the connected accounts: side, quantity, entry and mark price, profit, leverage,
        liquidation price; `is_computed` when the market's price carries the profit on. `connected` is false without an
        account.
        """
        return await self._of_accounts("positions", venue)

    async def _of_accounts(self, path: str, venue: str) -> Reply:
        accounts, status = await self._query(path, venue=venue)
        accounts = accounts["accounts"]
        data: Reply = {"connected": bool(accounts), "accounts": accounts}
        if not accounts:
            data["message"] = NO_ACCOUNT
        ages = [one["age_ms"] for one in accounts if one["age_ms"] is not None]
        return reply(
            data,
            status,
            max(ages, default=None),
            stale=any(one["stale"] for one in accounts) if accounts else None,
            state={f"{one['venue']}:{one['account']}": one["state"] for one in accounts} or None,
            completeness={"connected": bool(accounts), "accounts": len(accounts)},
        )

    async def _query(self, *path: str, symbol: str = "", **query: Any) -> tuple[Any, Any]:
        """The response about a symbol, and the status of the deployment. A `no_data` failure also names the followed
        symbols.
        """
        try:
            answer, status = await asyncio.gather(self._client.get(*path, **query), self._status())
        except Failure as failure:
            if failure.code == "no_data" and symbol:
                raise Failure("no_data", f"{failure.message}; {await self._followed(symbol.upper())}") from failure
            raise
        return answer.data, status

    async def _followed(self, symbol: str) -> str:
        followed = [state["symbol"] for state in (await self._client.get("symbols")).data if state["followed"]]
        if symbol in followed:
            return f"{symbol} is followed, so there will be some as soon as it is traded"
        rest = f"only {', '.join(followed)}" if followed else "as nothing is"
        return f"{symbol} is not followed here, {rest}"

    async def _chart(self, symbol: str, timeframe: str, **query: Any) -> Any:
        """Candles; without any, `Failure` with the time it takes to fetch them."""
        answer = await self._client.get("chart", symbol, timeframe, **query)
        if answer.accepted:
            raise Failure(
                "collecting",
                f"no {timeframe} candle of {symbol.upper()} is stored yet; they are being fetched: "
                f"try again in {answer.data['wait_s']:g} s",
            )
        return answer.data

    async def _status(self) -> Any:
        return (await self._client.get("status")).data

    async def _price_age(self, symbol: str, venue: str) -> int | None:
        """Age of the symbol's price, ms; candles are not fresher. None without a price."""
        try:
            age_ms: int = (await self._client.get("prices", symbol, venue=venue)).data["age_ms"]
        except Failure:
            return None
        return age_ms
