"""The laws of an account's machine: any interleaving of snapshots, updates, duplicates, reordered and lost ones, and
reconnects ends in the venue's state; and what is shown as live without a loss is the venue's.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flows.clock import Now
from flows.model.account import (
    AccountEvent,
    AccountSnapshot,
    AccountState,
    AccountUpdate,
    Balance,
    BalanceReport,
    Position,
    PositionReport,
)
from flows.model.incidents import Incident
from flows.operators.account.keeper import AccountKeeper, AccountPolicy
from flows.queries import AccountQuery, QueryError

ASSETS = ("USDT", "BTC")
SYMBOLS = ("BTCUSDT", "ETHUSDT")
BEGIN = 1_767_225_600_000
POLICY = AccountPolicy(audit_ms=60_000, stale_ms=30_000, quote="USDT")


@dataclass
class Exchange:
    """An account at a venue, and what it has said."""

    time: int = BEGIN
    balances: dict[str, tuple[int, int]] = field(default_factory=lambda: {"USDT": (100, BEGIN)})
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)

    def move(self, asset: str, amount: int, symbol: str, quantity: int) -> AccountUpdate:
        """Something changes; the update that says it."""
        self.time += 10
        self.balances[asset] = (amount, self.time)
        self.positions[symbol] = (quantity, self.time)
        return AccountUpdate(
            self.time,
            (BalanceReport(asset, Decimal(amount), Decimal(0)),),
            positions=(PositionReport(symbol, "BOTH", Decimal(quantity), Decimal(50)),),
        )

    def snapshot(self, *, times: bool) -> AccountSnapshot:
        """All there is: of spot without times of the rows."""
        return AccountSnapshot(
            max(time for _, time in (*self.balances.values(), *self.positions.values())),
            tuple(
                BalanceReport(asset, Decimal(amount), Decimal(0), time if times else 0)
                for asset, (amount, time) in self.balances.items()
                if amount
            ),
            tuple(
                PositionReport(symbol, "BOTH", Decimal(quantity), Decimal(50), time=time if times else 0)
                for symbol, (quantity, time) in self.positions.items()
                if quantity
            ),
        )


@dataclass
class Client:
    """What a client knows by the results of the machine."""

    machine: AccountKeeper
    local: int = 1_000_000
    balances: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    times: dict[str, int] = field(default_factory=dict)
    state: str = ""
    queries: list[AccountQuery] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)

    @property
    def now(self) -> Now:
        return Now(BEGIN + self.local - 1_000_000, self.local)

    def take(self, out: Any) -> None:
        for item in out:
            match item:
                case Balance():
                    self.balances[item.asset] = item.total
                    self.note(item.asset, item.event_time)
                case Position():
                    self.positions[item.symbol, item.side] = item.quantity
                    self.note(item.symbol, item.event_time)
                case AccountState():
                    self.state = item.state
                case AccountQuery():
                    self.queries.append(item)
                case Incident():
                    self.incidents.append(item)

    def note(self, name: str, time: int) -> None:
        """Stores keep the newest version by its time: a later one with an earlier time would be lost."""
        assert time >= self.times.get(name, 0)
        self.times[name] = time

    def pass_time(self, ms: int) -> None:
        self.local += ms
        due = self.machine.due_in(self.now)
        if due is not None and due <= 0:
            self.take(self.machine.on_timer(self.now))

    def shown(self) -> tuple[dict[str, Decimal], dict[tuple[str, str], Decimal]]:
        return (
            {asset: total for asset, total in self.balances.items() if total},
            {where: quantity for where, quantity in self.positions.items() if quantity},
        )


def truth(exchange: Exchange) -> tuple[dict[str, Decimal], dict[tuple[str, str], Decimal]]:
    return (
        {asset: Decimal(amount) for asset, (amount, _) in exchange.balances.items() if amount},
        {
            (symbol, "LONG" if quantity > 0 else "SHORT"): Decimal(abs(quantity))
            for symbol, (quantity, _) in exchange.positions.items()
            if quantity
        },
    )


AMOUNTS = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.sampled_from(ASSETS), AMOUNTS, st.sampled_from(SYMBOLS), st.integers(-2, 2)),
        st.tuples(st.just("deliver"), st.integers(0, 5)),
        st.tuples(st.just("repeat"), st.integers(0, 5)),
        st.tuples(st.just("lose"), st.integers(0, 5)),
        st.tuples(st.just("photograph")),
        st.tuples(st.just("answer")),
        st.tuples(st.just("fail")),
        st.tuples(st.just("cut")),
        st.tuples(st.just("kill")),
        st.tuples(st.just("wait"), st.sampled_from((1, 500, 3_000, 40_000))),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, times=st.booleans())
def test_every_interleaving_ends_in_the_venues_state(  # noqa: C901 - a case for each step
    steps: list[tuple[Any, ...]], times: bool
) -> None:
    exchange, client = Exchange(), Client(AccountKeeper("v:mine", POLICY))
    on_the_way: list[AccountUpdate] = []
    delivered: list[AccountUpdate] = []
    taken: list[tuple[AccountQuery, AccountSnapshot]] = []
    client.take(client.machine.on_events(AccountEvent("opened"), client.now))
    for step in steps:
        client.pass_time(1)
        match step:
            case ("move", asset, amount, symbol, quantity):
                on_the_way.append(exchange.move(asset, amount, symbol, quantity))
            case ("deliver", at) if on_the_way:
                delivered.append(on_the_way.pop(at % len(on_the_way)))
                client.take(client.machine.on_events(delivered[-1], client.now))
            case ("repeat", at) if delivered:
                client.take(client.machine.on_events(delivered[at % len(delivered)], client.now))
            case ("lose", at) if on_the_way:
                on_the_way.pop(at % len(on_the_way))
            case ("photograph",) if client.queries:
                taken.append((client.queries.pop(0), exchange.snapshot(times=times)))
            case ("answer",) if taken:
                query, snapshot = taken.pop(0)
                client.take(client.machine.on_answer(query, snapshot, client.now))
            case ("fail",) if client.queries:
                client.take(client.machine.on_answer(client.queries.pop(0), QueryError("no answer"), client.now))
            case ("cut",):
                on_the_way.clear()
                client.take(client.machine.on_events(AccountEvent("closed", "cut"), client.now))
                client.take(client.machine.on_events(AccountEvent("opened"), client.now))
            case ("kill",):
                on_the_way.clear()
                client.queries.clear()
                taken.clear()
                client.machine = AccountKeeper("v:mine", POLICY, client.machine.snapshot())
                client.take(client.machine.on_events(AccountEvent("opened"), client.now))
            case ("wait", ms):
                client.pass_time(ms)
    settle(exchange, client, on_the_way, taken, times=times)
    assert client.shown() == truth(exchange)
    assert client.state == "live"


def settle(
    exchange: Exchange,
    client: Client,
    on_the_way: list[AccountUpdate],
    taken: list[tuple[AccountQuery, AccountSnapshot]],
    *,
    times: bool,
) -> None:
    """What is on the way arrives, in order, and audits pass."""
    for update in on_the_way:
        client.take(client.machine.on_events(update, client.now))
    for query, snapshot in taken:
        client.take(client.machine.on_answer(query, snapshot, client.now))
    for _ in range(4):
        client.pass_time(70_000)
        client.take(client.machine.on_events(AccountEvent("alive"), client.now))
        while client.queries:
            query = client.queries.pop(0)
            client.take(client.machine.on_answer(query, exchange.snapshot(times=times), client.now))


@settings(max_examples=150, deadline=None)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(ASSETS), AMOUNTS, st.sampled_from(SYMBOLS), st.integers(-2, 2)),
        min_size=1,
        max_size=8,
    ),
    order=st.randoms(use_true_random=False),
    times=st.booleans(),
)
def test_updates_in_any_order_and_twice_give_the_newest_state_without_a_snapshot(
    moves: list[tuple[str, int, str, int]], order: Any, times: bool
) -> None:
    exchange, client = Exchange(), Client(AccountKeeper("v:mine", POLICY))
    client.take(client.machine.on_events(AccountEvent("opened"), client.now))
    client.take(client.machine.on_answer(client.queries.pop(), exchange.snapshot(times=times), client.now))
    assert (client.shown(), client.state) == (truth(exchange), "live")
    updates = [exchange.move(*move) for move in moves] * 2
    order.shuffle(updates)
    for update in updates:
        client.take(client.machine.on_events(update, client.now))
    assert client.shown() == truth(exchange)
    assert (client.state, client.incidents, client.queries) == ("live", [], [])

    client.pass_time(10_000)
    client.take(client.machine.on_events(AccountEvent("trigger"), client.now))
    client.take(client.machine.on_answer(client.queries.pop(), exchange.snapshot(times=times), client.now))
    order.shuffle(updates)
    for update in updates:
        client.take(client.machine.on_events(update, client.now))
    assert client.shown() == truth(exchange), "what comes from before a snapshot changes nothing, also of what is gone"
    assert (client.state, client.incidents, client.queries) == ("live", [], [])
