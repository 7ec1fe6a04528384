"""Kraken's answers and messages about accounts, field by field (https://docs.kraken.com/api/docs/websocket-v2/balances,
REST `BalanceEx`, `OpenPositions`, `GetApiKeyInfo`, `GetWebSocketsToken`).

Amounts keep the digits that are printed. Unknown fields are ignored.
"""

from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

Asset = Annotated[str, Meta(min_length=1, max_length=32)]
Sequence = Annotated[int, Meta(ge=0, le=2**63 - 1)]
MOST_ROWS = 10_000


class LedgerRow(Struct, frozen=True, gc=False):
    """A change of an asset. `amount` is signed, and the fee is taken from the balance besides."""

    asset: Asset
    amount: Decimal
    fee: Decimal
    timestamp: Annotated[str, Meta(max_length=40)]


class WalletRow(Struct, frozen=True, gc=False):
    """What the account has of an asset, in all wallets together; what orders hold is in none."""

    asset: Asset
    balance: Decimal


class BalancesUpdate(Struct, frozen=True, gc=False, tag_field="type", tag="update"):
    """{"channel":"balances","type":"update","data":[{"ledger_id":"LABCDE-AAAAA-000001","ref_id":"TABCDE-AAAAA-000009",
    "timestamp":"2026-01-01T00:00:05.123456Z","type":"trade","subtype":"","asset":"USD","asset_class":"currency",
    "wallet_type":"spot","wallet_id":"main","amount":-93.12,"fee":0.24,"balance":906.64}],"sequence":2}
    """

    data: Annotated[list[LedgerRow], Meta(max_length=MOST_ROWS)]
    sequence: Sequence


class BalancesSnapshot(Struct, frozen=True, gc=False, tag_field="type", tag="snapshot"):
    """{"channel":"balances","type":"snapshot","data":[{"asset":"BTC","asset_class":"currency","balance":0.51,
    "wallets":[{"type":"spot","id":"main","balance":0.5}]}],"sequence":1}
    """

    data: Annotated[list[WalletRow], Meta(max_length=MOST_ROWS)]
    sequence: Sequence


Balances: TypeAlias = BalancesUpdate | BalancesSnapshot


class Reply(Struct, frozen=True, gc=False):
    """What the stream sends besides: a reply to a request, or a message of another channel."""

    channel: str = ""
    method: str = ""
    success: bool | None = None
    error: str | None = None


# --- REST


class Token(Struct, frozen=True, repr_omit_defaults=True):
    """{"token":"1Dwc4lzSwNWOAwkMdqhssNNFhs1ed606d1WcF3XfEMw","expires":900}"""

    token: Annotated[str, Meta(min_length=1, max_length=200)]

    def __repr__(self) -> str:
        """Nothing of it."""
        return "Token()"


class TokenAnswer(Struct, frozen=True):
    """With the token."""

    result: Token


class KeyInfo(Struct, frozen=True):
    """Of a key, its rights alone; its name and its owner's numbers are not read."""

    permissions: Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=1_000)]


class KeyInfoAnswer(Struct, frozen=True):
    """{"error":[],"result":{"permissions":["query-funds","create-ws-token"]}}"""

    result: KeyInfo


class ExtendedBalance(Struct, frozen=True):
    """What the account has of an asset, and what orders hold of it."""

    balance: Decimal
    hold_trade: Decimal = Decimal(0)
    credit: Decimal = Decimal(0)
    credit_used: Decimal = Decimal(0)


class BalancesAnswer(Struct, frozen=True):
    """{"error":[],"result":{"BTC":{"balance":"0.5000000000","hold_trade":"0.1000000000"}}}"""

    result: Annotated[dict[str, ExtendedBalance], Meta(max_length=MOST_ROWS)]


class PositionRow(Struct, frozen=True):
    """A margin position; a pair may have several. `cost` is what it was opened for, whatever of it is closed by now."""

    pair: Annotated[str, Meta(min_length=1, max_length=64)]
    type: Literal["buy", "sell"]
    cost: Decimal
    vol: Decimal
    vol_closed: Decimal
    margin: Decimal
    value: Decimal | None = None
    net: Decimal | None = None


class PositionsAnswer(Struct, frozen=True):
    """{"error":[],"result":{"TF5GVO-T7ZZ2-6NBKBI":{"ordertxid":"OLWNFG-LLH4R-D6SFFP","posstatus":"open",
    "pair":"XXBTZUSD","time":1605280097.8294,"type":"buy","ordertype":"limit","cost":"104610.52842","fee":"289.06565",
    "vol":"8.82412861","vol_closed":"0.20200000","margin":"20922.10568","value":"258797.5","net":"+154186.9728",
    "terms":"0.0100% per 4 hours","rollovertm":"1616672637","misc":"","oflags":""}}}
    """

    result: Annotated[dict[str, PositionRow], Meta(max_length=MOST_ROWS)]
