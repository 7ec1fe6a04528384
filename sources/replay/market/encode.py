"""Encodes stream payloads and REST rows from whole numbers (see `decimals.py`).

Source: Binance Spot web socket streams and USD-M futures market streams, and the REST answers of the same names.
"""

from typing import Any, NamedTuple

import msgspec
import polars as pl

from sources.replay.market.book import Level
from sources.replay.market.decimals import Decimals, decimal_text, printed
from sources.replay.market.intervals import next_open
from sources.replay.market.klines import Kline
from sources.replay.market.market import MarketKind


class PayloadEncoder(NamedTuple):
    """Encodes the payloads and rows of one symbol."""

    kind: MarketKind
    symbol: str
    decimals: Decimals

    def aggregates(self, rows: pl.DataFrame) -> list[bytes]:
        """`aggTrade` payloads of a frame of aggregates."""
        price, quantity = self._columns()
        head = f'{{"e":"aggTrade","E":{{}},"s":"{self.symbol}","a":{{}},"p":"{{}}","q":"{{}}",'
        columns = [pl.col("event_time"), pl.col("id"), price, quantity]
        if self.kind == "usdm":
            # No retail price improvement orders here: the quantity without them is the quantity.
            head += '"nq":"{}",'
            columns.append(quantity)
        text = head + '"f":{},"l":{},"T":{},"m":{}' + (',"M":true}' if self.kind == "spot" else ',"st":1}')
        return _texts(rows, text, *columns, pl.col("first_id"), pl.col("last_id"), pl.col("time"), pl.col("maker"))

    def trades(self, rows: pl.DataFrame) -> list[bytes]:
        """`trade` payloads of a frame of trades, all of them market fills."""
        price, quantity = self._columns()
        columns = [pl.col("event_time"), pl.col("id"), price, quantity, pl.col("time"), pl.col("maker")]
        if self.kind == "spot":
            text = f'{{"e":"trade","E":{{}},"s":"{self.symbol}","t":{{}},"p":"{{}}","q":"{{}}","T":{{}},'
            return _texts(rows, text + '"m":{},"M":true}', *columns)
        text = f'{{"e":"trade","E":{{}},"T":{{}},"s":"{self.symbol}","t":{{}},"p":"{{}}","q":"{{}}",'
        event, trade_id, price, quantity, time, maker = columns
        text += '"X":"MARKET","m":{},"st":1}'
        return _texts(rows, text, event, time, trade_id, price, quantity, maker)

    def kline(self, interval: str, kline: Kline, *, event_ms: int, closed: bool, zone_ms: int = 0) -> bytes:
        """A `kline` payload."""
        price, quantity, quote = self.decimals.price_text, self.decimals.quantity_text, self.decimals.quote_text
        return (
            f'{{"e":"kline","E":{event_ms},"s":"{self.symbol}","k":{{"t":{kline.open_time},'
            f'"T":{next_open(interval, kline.open_time, zone_ms=zone_ms) - 1},"s":"{self.symbol}","i":"{interval}",'
            f'"f":{kline.first_id},"L":{kline.last_id},"o":"{price(kline.open)}","c":"{price(kline.close)}",'
            f'"h":"{price(kline.high)}","l":"{price(kline.low)}","v":"{quantity(kline.volume)}","n":{kline.trades},'
            f'"x":{"true" if closed else "false"},"q":"{quote(kline.quote)}","V":"{quantity(kline.taker_volume)}",'
            f'"Q":"{quote(kline.taker_quote)}","B":"0"}}}}'
        ).encode()

    def kline_row(self, interval: str, kline: Kline, *, zone_ms: int = 0) -> list[Any]:
        """The REST row of twelve."""
        price, quantity, quote = self.decimals.price_text, self.decimals.quantity_text, self.decimals.quote_text
        return [
            kline.open_time,
            price(kline.open),
            price(kline.high),
            price(kline.low),
            price(kline.close),
            quantity(kline.volume),
            next_open(interval, kline.open_time, zone_ms=zone_ms) - 1,
            quote(kline.quote),
            kline.trades,
            quantity(kline.taker_volume),
            quote(kline.taker_quote),
            "0",
        ]

    def aggregate_rows(self, rows: pl.DataFrame) -> list[dict[str, Any]]:
        """REST rows of a frame of aggregates."""
        price, quantity = self._columns()
        best = [pl.lit(value=True).alias("M")] if self.kind == "spot" else [quantity.alias("nq")]
        renamed = {"id": "a", "first_id": "f", "last_id": "l", "time": "T", "maker": "m"}
        return (
            rows.select(
                pl.col("id"),
                price.alias("p"),
                quantity.alias("q"),
                pl.col("first_id", "last_id", "time", "maker"),
                *best,
            )
            .rename(renamed)
            .to_dicts()
        )

    def trade_rows(self, rows: pl.DataFrame) -> list[dict[str, Any]]:
        """REST rows of a frame of trades."""
        price, quantity = self._columns()
        quote = (pl.col("price").cast(pl.Int128) * pl.col("quantity")).map_elements(
            self.decimals.quote_text, return_dtype=pl.String
        )
        flag = (
            pl.lit(value=True).alias("isBestMatch") if self.kind == "spot" else pl.lit(value=False).alias("isRPITrade")
        )
        return rows.select(
            pl.col("id"),
            price.alias("price"),
            quantity.alias("qty"),
            quote.alias("quoteQty"),
            pl.col("time"),
            pl.col("maker").alias("isBuyerMaker"),
            flag,
        ).to_dicts()

    def book_ticker(self, update_id: int, bid: Level, ask: Level, *, event_ms: int) -> bytes:
        """A `bookTicker` payload."""
        levels = f'"b":"{bid[0]}","B":"{bid[1]}","a":"{ask[0]}","A":"{ask[1]}"'
        text = f'"u":{update_id},"s":"{self.symbol}",'
        if self.kind == "spot":
            return f"{{{text}{levels}}}".encode()
        times = f'"T":{event_ms},"E":{event_ms},"st":1'
        return f'{{"e":"bookTicker",{text}"ps":"{self.pair}",{levels},{times}}}'.encode()

    def book_tickers(self, rows: pl.DataFrame) -> list[bytes]:
        """`bookTicker` payloads of rows of `due update_id bid bid_lots ask ask_lots`."""
        numbers = self.decimals
        prices = [printed(pl.col(name), numbers.price, numbers.printed_price) for name in ("bid", "ask")]
        lots = [printed(pl.col(name), numbers.quantity, numbers.printed_quantity) for name in ("bid_lots", "ask_lots")]
        columns = [pl.col("update_id"), prices[0], lots[0], prices[1], lots[1]]
        text, levels = f'"u":{{}},"s":"{self.symbol}",', '"b":"{}","B":"{}","a":"{}","A":"{}"'
        if self.kind == "spot":
            return _texts(rows, f"{{{text}{levels}}}", *columns)
        times = [pl.col("due"), pl.col("due")]
        payload = f'{{"e":"bookTicker",{text}"ps":"{self.pair}",{levels},"T":{{}},"E":{{}},"st":1}}'
        return _texts(rows, payload, *columns, *times)

    def depth_update(
        self,
        first_id: int,
        last_id: int,
        previous_id: int,
        *,
        bids: list[Level],
        asks: list[Level],
        event_ms: int,
        transaction_ms: int | None = None,
    ) -> bytes:
        """A `depthUpdate` payload; `transaction_ms` is when the book changed last, default at `event_ms`."""
        chained = self.kind == "spot"
        return msgspec.json.encode(
            {
                "e": "depthUpdate",
                "E": event_ms,
                **({} if chained else {"T": event_ms if transaction_ms is None else transaction_ms}),
                "s": self.symbol,
                "U": first_id,
                "u": last_id,
                **({} if chained else {"pu": previous_id}),
                "b": bids,
                "a": asks,
                **({} if chained else self._contract()),
            }
        )

    @property
    def pair(self) -> str:
        """USD-M's name of the pair: the symbol without the day on which a dated contract is delivered."""
        return self.symbol.partition("_")[0]

    def _contract(self) -> dict[str, Any]:
        """The fields by which USD-M says what kind of contract a payload is about."""
        return {"ps": self.pair, "st": 1}

    def no_level(self) -> Level:
        """The level that stands for an empty side of the book."""
        return self.decimals.price_text(0), self.decimals.quantity_text(0)

    def _columns(self) -> tuple[pl.Expr, pl.Expr]:
        numbers = self.decimals
        return (
            printed(pl.col("price"), numbers.price, numbers.printed_price),
            printed(pl.col("quantity"), numbers.quantity, numbers.printed_quantity),
        )


def _texts(rows: pl.DataFrame, text: str, *columns: pl.Expr) -> list[bytes]:
    """`text` with its `{}` filled in from the columns; its other braces are JSON's own."""
    pattern = "{}".join(part.replace("{", "{{").replace("}", "}}") for part in text.split("{}"))
    return rows.select(pl.format(pattern, *columns).cast(pl.Binary)).to_series().to_list()


class Statistics(NamedTuple):
    """The last 24 hours of a symbol."""

    window: Kline
    open_ms: int
    close_ms: int
    previous_close: int
    """Price of the last trade before the window; of the first one in it where none is known."""
    last_quantity: int
    bid: Level
    ask: Level

    def full(self, encoder: PayloadEncoder) -> dict[str, Any]:
        """The REST row, with the names of REST."""
        window, numbers = self.window, encoder.decimals
        change = window.close - window.open
        average = window.quote * 10 ** (numbers.printed_price - numbers.price) // window.volume if window.volume else 0
        row = {
            "symbol": encoder.symbol,
            "priceChange": numbers.price_text(change),
            "priceChangePercent": decimal_text(round(100_000 * change / window.open) if window.open else 0, 3, 3),
            "weightedAvgPrice": decimal_text(average, numbers.printed_price, numbers.printed_price),
            "prevClosePrice": numbers.price_text(self.previous_close),
            "lastPrice": numbers.price_text(window.close),
            "lastQty": numbers.quantity_text(self.last_quantity),
            "bidPrice": self.bid[0],
            "bidQty": self.bid[1],
            "askPrice": self.ask[0],
            "askQty": self.ask[1],
            "openPrice": numbers.price_text(window.open),
            "highPrice": numbers.price_text(window.high),
            "lowPrice": numbers.price_text(window.low),
            "volume": numbers.quantity_text(window.volume),
            "quoteVolume": numbers.quote_text(window.quote),
            "openTime": self.open_ms,
            "closeTime": self.close_ms,
            "firstId": window.first_id,
            "lastId": window.last_id,
            "count": window.trades,
        }
        return row if encoder.kind == "spot" else {name: row[name] for name in row if name not in _SPOT_ONLY}

    def rolling(self, encoder: PayloadEncoder) -> dict[str, Any]:
        """The REST row of a window of another length."""
        row = self.full(encoder)
        return {name: row[name] for name in row if name not in _DAY_ONLY}

    def rolling_payload(self, encoder: PayloadEncoder, window: str, *, event_ms: int) -> dict[str, Any]:
        """The payload of spot's `ticker_<window>`."""
        row = self.full(encoder)
        fields = {short: row[name] for short, name in _TICKER.items() if name not in _DAY_ONLY}
        return {"e": f"{window}Ticker", "E": event_ms, "s": encoder.symbol, **fields}

    def payload(self, encoder: PayloadEncoder, *, event_ms: int) -> dict[str, Any]:
        """The `24hrTicker` payload."""
        row = self.full(encoder)
        fields = {short: row[name] for short, name in _TICKER.items() if name in row}
        tail = {} if encoder.kind == "spot" else {"ps": encoder.pair, "st": 1}
        return {"e": "24hrTicker", "E": event_ms, "s": encoder.symbol, **fields, **tail}

    def mini_payload(self, encoder: PayloadEncoder, *, event_ms: int) -> dict[str, Any]:
        """The `24hrMiniTicker` payload."""
        row = self.full(encoder)
        fields = {short: row[_TICKER[short]] for short in "cohlvq"}
        tail = {} if encoder.kind == "spot" else {"ps": encoder.pair, "st": 1}
        return {"e": "24hrMiniTicker", "E": event_ms, "s": encoder.symbol, **fields, **tail}


_SPOT_ONLY = frozenset({"prevClosePrice", "bidPrice", "bidQty", "askPrice", "askQty"})

_DAY_ONLY = _SPOT_ONLY | {"lastQty"}
"""What only the statistics of 24 hours have."""

_TICKER = {
    "p": "priceChange",
    "P": "priceChangePercent",
    "w": "weightedAvgPrice",
    "x": "prevClosePrice",
    "c": "lastPrice",
    "Q": "lastQty",
    "b": "bidPrice",
    "B": "bidQty",
    "a": "askPrice",
    "A": "askQty",
    "o": "openPrice",
    "h": "highPrice",
    "l": "lowPrice",
    "v": "volume",
    "q": "quoteVolume",
    "O": "openTime",
    "C": "closeTime",
    "F": "firstId",
    "L": "lastId",
    "n": "count",
}
"""Stream name and REST name of the same figure."""
