"""The accounts of Kraken: what operators order, what the channel `balances` says of it, and who may see it.

Chosen, as it is not known: orders to fill with a `position_side` are on margin, and their gain is settled in the quote
asset; an entry's `balance` is the asset's in all wallets.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from sources.replay.accounts.orders import AnyOrder, Fill, Leverage, Order
from sources.replay.accounts.orders import Tokens as TokensLife
from sources.replay.accounts.spot_orders import SpotChange
from sources.replay.exchange.accounts import OperatedExchange
from sources.replay.exchange.dialect import AccountsView
from sources.replay.market.market import Message
from sources.replay.venues.accounts import NamedPair, SpotVenueAccounts
from sources.replay.venues.kraken.accounts.keys import Callers, demo_ring
from sources.replay.venues.kraken.accounts.ledger import Entry, of_trade, snapshot, stream_of, update
from sources.replay.venues.kraken.accounts.margin import MarginBook, report_of
from sources.replay.venues.kraken.accounts.tokens import Tokens
from sources.replay.venues.kraken.pairs import pair_of

DEMO_BALANCES: Final = {"USD": Decimal(100_000), "BTC": Decimal(1), "ETH": Decimal(10)}
"""What the demo account begins with."""


def _named(symbol: str) -> NamedPair:
    pair = pair_of(symbol)
    return pair.symbol, pair.base, pair.quote


class KrakenAccounts(SpotVenueAccounts):
    """The accounts of an exchange with their positions on margin, and the keys and tokens for them."""

    def __init__(self, view: AccountsView) -> None:
        super().__init__(view, DEMO_BALANCES, _named)
        ring = demo_ring()
        self.callers = Callers(ring)
        """Who sends requests."""
        self.operated = OperatedExchange(self, ring)
        """What operators do with them."""
        self.tokens = Tokens()
        """Those of private streams."""
        self._margins: dict[str, MarginBook] = {}
        self._entries = 0

    @property
    def orders(self) -> tuple[type[Order], ...]:
        """The kinds of orders that there are for them."""
        return (*super().orders, Leverage, TokensLife)

    def margin(self, account: str) -> MarginBook:
        """The positions of an account."""
        return self._margins.setdefault(account, MarginBook())

    def execute(self, order: AnyOrder) -> None:
        """Executes an order and sends its messages; `ValueError` when it cannot be, and then nothing is changed."""
        match order:
            case TokensLife():
                self.tokens.life_ms = order.life_ms
            case Leverage():
                self._named(order.account)
                self.margin(order.account).set_leverage(self.listed(order.symbol).symbol, order.leverage)
            case Fill() if order.position_side != "BOTH":
                self._fill_on_margin(order)
            case _:
                super().execute(order)

    def _fill_on_margin(self, order: Fill) -> None:
        """Gain and fee are of the quote asset, which must suffice for them."""
        account, now_ms = self._named(order.account), self._view.true_ms
        instrument = self.listed(order.symbol)
        book, price = self.margin(order.account), order.price or instrument.last_price
        before = book.rows
        gained, fee = book.fill(instrument.symbol, order.side, order.quantity, price, now_ms)
        try:
            account.move(instrument.quote, gained - fee, now_ms)
        except ValueError:
            book.restore(before)
            raise
        self._publish(order.account, [Entry("margin", instrument.quote, gained, fee)], now_ms)

    def messages(self, account: str, change: SpotChange, now_ms: int) -> Iterable[Message]:
        """A message for what changed a balance: what orders hold is in none."""
        if change.reason == "lock":
            return []
        if change.trade is None:
            entries = [Entry(change.reason, change.assets[0], change.amount)]
        else:
            pair = pair_of(change.trade.symbol)
            entries = of_trade(change.trade, pair.base, pair.quote)
        return [self._message(account, entries, now_ms)]

    def snapshot(self, account: str) -> bytes:
        """What a subscription begins with."""
        return snapshot(self.balances(account).balances)

    def _publish(self, account: str, entries: list[Entry], now_ms: int) -> None:
        self._view.publish([self._message(account, entries, now_ms)])

    def _message(self, account: str, entries: list[Entry], now_ms: int) -> Message:
        data = update(entries, self.balances(account).balances, self._entries + 1, now_ms)
        self._entries += len(entries)
        return Message(now_ms, stream_of(account), data)

    def report(self, account: str) -> dict[str, Any]:
        """An account's part of the state."""
        rows = self.margin(account).rows
        prices = {row.symbol: self.listed(row.symbol).last_price for row in rows}
        tokens = self.tokens.of(account)
        return {**super().report(account), "positions": report_of(rows, prices), "tokens": tokens}
