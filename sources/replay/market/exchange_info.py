"""The exchangeInfo row of a symbol: what a client library needs to trade it, with limits taken from the tape.

Source: `GET /api/v3/exchangeInfo` and `GET /fapi/v1/exchangeInfo`. Tick and step are the finest decimals that the
market uses; bounds that a tape does not show are the exchange's usual ones.
"""

from collections.abc import Mapping
from typing import Any, Final

from sources.replay.market.decimals import decimal_text
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.lives import ALWAYS, Life, State
from sources.replay.market.market import MarketKind

# fmt: off
_QUOTES = (
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "USD1", "USDS", "DAI", "EUR",
    "GBP", "TRY", "BRL", "JPY", "AUD", "UAH", "RUB", "PLN", "RON", "ARS",
    "ZAR", "MXN", "COP", "CZK", "BTC", "ETH", "BNB", "USD", "TRX", "XRP",
    "DOGE", "SOL", "DOT",
)
# fmt: on
"""Quote assets, an asset before any that its name ends with."""
_PERPETUAL_ONBOARD_MS = 1_569_398_400_000
_PERPETUAL_DELIVERY_MS = 4_133_404_800_000
"""The exchange's delivery date of a perpetual contract: 2100-12-25."""
_ORDERS = {
    "spot": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"],
    "usdm": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
}


_MOST_QUANTITIES: dict[MarketKind, tuple[tuple[int, int], ...]] = {
    "spot": ((9_000, 5), (120, 5)),
    "usdm": ((1_000, 3), (120, 3)),
}
"""The largest quantity of an order, and of one at market price, of a symbol with so many decimals (bitcoin's)."""


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote asset of a symbol; with an unknown quote asset it is split before the last three letters."""
    pair = symbol.partition("_")[0]  # a dated contract carries its delivery day after the pair
    quote = next((quote for quote in _QUOTES if pair.endswith(quote) and pair != quote), pair[-3:])
    return pair[: -len(quote)], quote


STATUSES: Final[Mapping[MarketKind, Mapping[State, str]]] = {
    "spot": {State.TRADING: "TRADING", State.HALTED: "HALT", State.DELISTED: "BREAK"},
    "usdm": {State.TRADING: "TRADING", State.HALTED: "PENDING_TRADING", State.DELISTED: "SETTLING"},
}
"""The exchange's words. It goes on listing what is delisted; USD-M has no word for a halt, and this one is chosen."""


def exchange_info_row(encoder: PayloadEncoder, life: Life = ALWAYS, now_ms: int = 0) -> dict[str, Any]:
    """The row of a symbol that the exchange knows."""
    status = STATUSES[encoder.kind][life.state(now_ms)]
    if encoder.kind == "spot":
        return _spot(encoder, status)
    onboard_ms, delivery_ms = contract_dates(life, now_ms)
    return _usdm(encoder) | {"status": status, "onboardDate": onboard_ms, "deliveryDate": delivery_ms}


def contract_dates(life: Life, now_ms: int) -> tuple[int, int]:
    """When a contract was listed, and when it is delivered."""
    listed_ms = None if life.is_listed_at_begin else next(turn.at_ms for turn in life.turns if turn.at_ms)
    delisted_ms = life.begin_of(State.DELISTED, now_ms)
    return listed_ms or _PERPETUAL_ONBOARD_MS, delisted_ms or _PERPETUAL_DELIVERY_MS


def _spot(encoder: PayloadEncoder, status: str) -> dict[str, Any]:
    base, quote = split_symbol(encoder.symbol)
    return {
        "symbol": encoder.symbol,
        "status": status,
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _ORDERS["spot"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            *_price_and_lot(encoder),
            {"filterType": "ICEBERG_PARTS", "limit": 10},
            {
                "filterType": "TRAILING_DELTA",
                "minTrailingAboveDelta": 10,
                "maxTrailingAboveDelta": 2000,
                "minTrailingBelowDelta": 10,
                "maxTrailingBelowDelta": 2000,
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "5",
                "bidMultiplierDown": "0.2",
                "askMultiplierUp": "5",
                "askMultiplierDown": "0.2",
                "avgPriceMins": 5,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _usdm(encoder: PayloadEncoder) -> dict[str, Any]:
    base, quote = split_symbol(encoder.symbol)
    numbers = encoder.decimals
    return {
        "symbol": encoder.symbol,
        "pair": base + quote,
        "contractType": "PERPETUAL",
        "deliveryDate": _PERPETUAL_DELIVERY_MS,
        "onboardDate": _PERPETUAL_ONBOARD_MS,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": numbers.printed_price,
        "quantityPrecision": numbers.printed_quantity,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            *_price_and_lot(encoder),
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": _ORDERS["usdm"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _price_and_lot(encoder: PayloadEncoder) -> list[dict[str, Any]]:
    numbers = encoder.decimals
    tick, step = numbers.price_text(1), numbers.quantity_text(1)
    most_price = decimal_text(1_000_000, 0, numbers.printed_price)
    # The finer its steps, the dearer is what is traded.
    most, most_at_once = (
        decimal_text(size * 10 ** max(decimals - numbers.quantity, 0), 0, numbers.printed_quantity)
        for size, decimals in _MOST_QUANTITIES[encoder.kind]
    )
    market_step = numbers.quantity_text(0) if encoder.kind == "spot" else step  # spot has no steps of its own there
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": most_price, "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": most, "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE", "minQty": market_step, "maxQty": most_at_once, "stepSize": market_step},
    ]
