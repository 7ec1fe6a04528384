"""What Coinbase's answers and messages about an account mean. Pure; nothing of a frame escapes in a text."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

import msgspec

from flows.foreign import quoted
from flows.model.account import AccountEvent, BalanceReport
from sources.account import ParsedAccount, Right, parsed
from sources.account_numbers import AccountNumbers
from sources.coinbase.account.wire import AccountRow, KeyPermissions, Message
from sources.coinbase.names import HEARTBEATS
from sources.coinbase.parse import milliseconds

USER: Final = "user"
_MESSAGE = msgspec.json.Decoder(Message)
_REFUSALS: Final = ("authentication", "Unauthorized", "unauthorized", "jwt", "JWT")


class AccountParser:
    """Parses the frames of a private stream. Its state is the last number: every message of a connection has the next
    one, whatever its channel.
    """

    def __init__(self) -> None:
        self._numbers = AccountNumbers()

    def begin(self) -> None:
        """A new connection."""
        self._numbers.begin()

    def parse(self, frame: bytes) -> ParsedAccount:
        """What a frame means; never raises."""
        return parsed(frame, self._events)

    def _events(self, frame: bytes) -> Iterator[AccountEvent]:
        """Of orders only that there are some is read: no message has a balance."""
        message = _MESSAGE.decode(frame)
        if message.type == "error":
            yield _refusal(message.message)
            return
        number = True if message.sequence_num is None else self._numbers.take(message.sequence_num)
        if isinstance(number, AccountEvent):
            yield number
        if not number:
            return
        time = 0 if message.timestamp is None else milliseconds(message.timestamp)
        if message.channel == "subscriptions" and any(USER in event.subscriptions for event in message.events):
            yield AccountEvent("opened", time=time)
        if message.channel == HEARTBEATS:
            yield AccountEvent("alive", time=time)
        if message.channel == USER and any(event.type == "update" for event in message.events):
            yield AccountEvent("trigger", time=time)


def _refusal(text: str) -> AccountEvent:
    if any(word in text for word in _REFUSALS):
        advice = "the venue refuses the key for its streams: check api_key, api_secret and the clock of this machine"
        return AccountEvent("refused", f"{advice} ({quoted(text)})")
    return AccountEvent("closed", f"the stream is refused: {quoted(text)}")


def powers_of(permissions: KeyPermissions) -> frozenset[Right]:
    """What a key may do besides reading."""
    found: dict[Right, bool] = {"trade": permissions.can_trade, "transfer": permissions.can_transfer}
    return frozenset(right for right, has in found.items() if has)


def balances_of(rows: Iterable[AccountRow]) -> tuple[BalanceReport, ...]:
    """The balances that are not zero, of all wallets of a currency together; `ArithmeticError` for amounts that cannot
    be.
    """
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for row in rows:
        free, locked = found.get(row.currency, (Decimal(0), Decimal(0)))
        found[row.currency] = (free + row.available_balance.value, locked + row.hold.value)
    return tuple(BalanceReport(asset, *amounts) for asset, amounts in found.items() if any(amounts))
