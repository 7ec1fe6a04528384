"""Messages and answers about accounts (`user-data-stream` of spot, `user-data-streams` of USD-M). As in the other
`wire.py`, what breaks a bound is refused as a whole.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from flows.model.account import MarginType, Place

Text = Annotated[str, Meta(min_length=1, max_length=40)]
Time = Annotated[int, Meta(gt=0, lt=10**14)]
TimeOrZero = Annotated[int, Meta(ge=0, lt=10**14)]


class Kind(Struct, frozen=True):
    """The type of an event."""

    e: str


class Error(Struct, frozen=True):
    """{"code":-1022,"msg":"Signature for this request is not valid."}"""

    code: int = 0
    msg: str = ""


class Frame(Struct, frozen=True, rename={"subscription": "subscriptionId"}):
    """A frame of the WebSocket API: the answer to a request, or an event in its envelope.

    {"id":"a1","status":200,"result":{"subscriptionId":0},"rateLimits":[]}
    {"subscriptionId":0,"event":{"e":"balanceUpdate",…}}
    """

    id: str | int | None = None
    status: int = 0
    result: Raw = Raw(b"null")
    error: Error | None = None
    subscription: int | None = None
    event: Raw = Raw(b"")


class Subscription(Struct, frozen=True, rename={"subscription": "subscriptionId"}):
    """{"subscriptionId":0}"""

    subscription: int


class SpotBalance(Struct, frozen=True):
    """A row of `B`."""

    a: Text
    f: Decimal
    l: Decimal  # noqa: E741 - the exchange's name


class SpotPosition(Struct, frozen=True):
    """{"e":"outboundAccountPosition","E":…,"u":1767225600122,"B":[{"a":"BTC","f":"0.51","l":"0.0"}]}"""

    u: Time
    B: list[SpotBalance]


class SpotChange(Struct, frozen=True):
    """{"e":"balanceUpdate","E":1767225660001,"a":"USDT","d":"-25.50000000","T":…}; `externalLockUpdate` alike."""

    E: Time
    a: Text
    d: Decimal


class SpotRow(Struct, frozen=True):
    """A row of `balances`."""

    asset: Text
    free: Decimal
    locked: Decimal


class SpotAnswer(Struct, frozen=True):
    """`GET /api/v3/account`."""

    updateTime: TimeOrZero  # noqa: N815 - the exchange's name
    balances: list[SpotRow]


class Restrictions(Struct, frozen=True, rename="camel"):
    """`GET /sapi/v1/account/apiRestrictions`: what a key may do."""

    enable_withdrawals: bool = False
    enable_internal_transfer: bool = False
    permits_universal_transfer: bool = False
    enable_spot_and_margin_trading: bool = False
    enable_margin: bool = False
    enable_futures: bool = False
    enable_vanilla_options: bool = False
    enable_portfolio_margin_trading: bool = False
    enable_fix_api_trade: bool = False


class ListenKey(Struct, frozen=True):
    """`POST /fapi/v1/listenKey`."""

    listenKey: Annotated[str, Meta(pattern="^[A-Za-z0-9]{1,200}$")]  # noqa: N815 - the exchange's name


class UsdmWallet(Struct, frozen=True):
    """A row of `B`: wallet, and the part of it that cross positions share."""

    a: Text
    wb: Decimal
    cw: Decimal


class UsdmPosition(Struct, frozen=True):
    """A row of `P`."""

    s: Text
    pa: Decimal
    ep: Decimal
    up: Decimal
    mt: MarginType
    bep: Decimal | None = None
    cr: Decimal | None = None
    ps: Place = "BOTH"


class _UsdmChange(Struct, frozen=True):
    m: str = ""
    B: list[UsdmWallet] = []
    P: list[UsdmPosition] = []


class UsdmUpdate(Struct, frozen=True):
    """{"e":"ACCOUNT_UPDATE","E":…,"T":1767225600198,"a":{"m":"ORDER","B":[…],"P":[…]}}"""

    T: Time
    a: _UsdmChange


class UsdmLeverage(Struct, frozen=True):
    """`ac` of `ACCOUNT_CONFIG_UPDATE`."""

    s: Text
    l: Annotated[int, Meta(ge=1, le=1_000)]  # noqa: E741 - the exchange's name


class UsdmConfig(Struct, frozen=True):
    """{"e":"ACCOUNT_CONFIG_UPDATE","E":…,"T":…,"ac":{"s":"BTCUSDT","l":20}}"""

    T: Time
    ac: UsdmLeverage | None = None


class UsdmReply(Struct, frozen=True):
    """{"result":["the listen key"],"id":1}"""

    id: int
    result: list[str] | None = None


class UsdmBalance(Struct, frozen=True, rename="camel"):
    """A row of `GET /fapi/v3/balance`."""

    asset: Text
    balance: Decimal
    cross_wallet_balance: Decimal
    update_time: TimeOrZero = 0


class UsdmRisk(Struct, frozen=True, rename="camel"):
    """A row of `GET /fapi/v3/positionRisk`."""

    symbol: Text
    position_side: Place
    position_amt: Decimal
    entry_price: Decimal
    mark_price: Decimal
    un_realized_profit: Decimal
    liquidation_price: Decimal | None = None
    break_even_price: Decimal | None = None
    update_time: TimeOrZero = 0


class UsdmSymbol(Struct, frozen=True, rename="camel"):
    """A row of `GET /fapi/v1/symbolConfig`."""

    symbol: Text
    margin_type: Literal["CROSSED", "ISOLATED"]
    leverage: Annotated[int, Meta(ge=1, le=1_000)]


KIND = msgspec.json.Decoder(Kind)
FRAME = msgspec.json.Decoder(Frame)
SUBSCRIPTION = msgspec.json.Decoder(Subscription)
SUBSCRIPTIONS = msgspec.json.Decoder(list[Subscription])
SPOT_POSITION = msgspec.json.Decoder(SpotPosition)
SPOT_CHANGE = msgspec.json.Decoder(SpotChange)
SPOT_ANSWER = msgspec.json.Decoder(SpotAnswer)
RESTRICTIONS = msgspec.json.Decoder(Restrictions)
LISTEN_KEY = msgspec.json.Decoder(ListenKey)
USDM_UPDATE = msgspec.json.Decoder(UsdmUpdate)
USDM_CONFIG = msgspec.json.Decoder(UsdmConfig)
USDM_REPLY = msgspec.json.Decoder(UsdmReply)
USDM_BALANCES = msgspec.json.Decoder(list[UsdmBalance])
USDM_RISKS = msgspec.json.Decoder(list[UsdmRisk])
USDM_SYMBOLS = msgspec.json.Decoder(list[UsdmSymbol])
