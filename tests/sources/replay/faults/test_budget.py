"""Whatever faults are ordered together, what they make in a turn and what they hold back has a bound."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.faults.budget import HELD_BYTES, LONGEST_FRAME, MADE_BYTES_PER_S, MEGABYTE, Budget, size_of
from sources.replay.faults.content_faults import AlteringFault, Foreign, Huge, Nested, WrongBook, WrongValue
from sources.replay.faults.injector import FaultInjector
from sources.replay.faults.orders import Duplicate, Late, MessageFault, OddReply, Reorder, decode_fault, describe
from sources.replay.market.market import Message
from sources.replay.protocol.subscriptions import Subscriptions
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket, trade_message, trade_messages

FOR_EVER = 10**9
BOUND = 200_000


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def book(number: int) -> Message:
    levels = b'"b":[["100.5","1.0"]],"a":[["101.5","2.0"]]'
    data = b'{"e":"depthUpdate","E":%d,"s":"BTCUSDT","U":%d,"u":%d,%b}' % (BEGIN_MS, number, number, levels)
    return Message(BEGIN_MS + number, "btcusdt@depth", data)


def bytes_of(messages: list[Message]) -> int:
    return sum(map(size_of, messages))


def injector_of(*faults: MessageFault, most: int = MADE_BYTES_PER_S, clock: Clock | None = None) -> FaultInjector:
    injector = FaultInjector(ScriptedMarket(), Budget(clock or Clock(), most_bytes_per_s=most))
    for fault in faults:
        injector.add(fault)
    return injector


def everything() -> list[MessageFault]:
    """Every fault of messages as its own example orders it, of every stream and without end."""
    faults = (decode_fault(describe(kind).example.encode()) for kind in get_args(MessageFault))
    endless = {"count": FOR_EVER, "stream": "*", "insert": True}
    out = []
    for fault in faults:
        names = set(fault.__struct_fields__) - ({"insert"} if isinstance(fault, Foreign) else set())
        out.append(msgspec.structs.replace(fault, **{name: endless[name] for name in endless.keys() & names}))
    return out  # type: ignore[return-value]  # the examples of these kinds are of these kinds


QUIET = ("Gap", "Silence")


def loud() -> list[MessageFault]:
    """Those that lose nothing, so that the others have something to act on."""
    return [fault for fault in everything() if type(fault).__name__ not in QUIET]


@given(st.lists(st.sampled_from(loud()), min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 20))
def test_no_combination_makes_or_holds_more_than_its_bound(faults: list[MessageFault], turns: int, length: int) -> None:
    injector = injector_of(*faults, most=BOUND)
    came = went = 0
    for turn in range(turns):
        true = [trade_message(turn * length + place) if place % 2 else book(place) for place in range(length)]
        came += bytes_of(true)
        went += bytes_of(injector.on_messages(true))
    went += bytes_of(injector.clear())
    skewed = 20 * turns * length  # a clock that is wrong may have longer times
    assert went <= came + BOUND + skewed  # the clock stands, so it is one second


def test_all_faults_at_once_for_many_turns_have_a_bound_and_go_on_every_second() -> None:
    clock = Clock()
    injector = injector_of(*loud(), *loud(), most=BOUND, clock=clock)
    made = []
    for second in range(20):
        clock.now_s = second
        true = trade_messages(50)
        out = injector.on_messages(true)
        made.append(bytes_of(out) - bytes_of(true))
    assert max(made) <= BOUND + HELD_BYTES
    assert all(made[1:])


def test_what_multiplies_itself_stops_at_the_bound() -> None:
    twice = [Duplicate(count=FOR_EVER)] * 60
    flood = [Foreign(symbol="X{n}", messages=100_000, count=FOR_EVER)] * 3
    for faults in (twice, flood, [*flood, Huge(megabytes=48, count=FOR_EVER)]):
        injector = injector_of(*faults, most=BOUND)
        true = trade_messages(3)
        assert bytes_of(injector.on_messages(true)) <= bytes_of(true) + BOUND


def test_what_does_not_fit_leaves_the_true_message_and_is_counted() -> None:
    clock = Clock()
    budget = Budget(clock, most_bytes_per_s=3 * MEGABYTE)
    injector = FaultInjector(ScriptedMarket(), budget)
    injector.add(Huge(megabytes=2, count=3))
    true = trade_messages(3)
    for left in (2, 1):
        made, *others = injector.on_messages(true)
        assert size_of(made) > 2 * MEGABYTE
        assert others == true[1:]
        assert [one["left"] for one in injector.report()] == [left]
        clock.now_s += 1.0
    assert budget.state().dropped == 4
    (made,) = injector.on_messages(true[:1])
    assert size_of(made) > 2 * MEGABYTE
    assert injector.is_idle


def test_what_is_held_back_has_a_bound_and_nothing_is_lost() -> None:
    clock = Clock()
    budget = Budget(clock)
    injector = FaultInjector(ScriptedMarket(), budget)
    injector.add(Huge(megabytes=40, count=FOR_EVER, stream="a@*"))
    for _ in range(5):
        injector.add(Late(hold_messages=FOR_EVER, count=FOR_EVER))
    injector.add(Reorder(count=FOR_EVER))
    out = []
    for second in range(4):
        clock.now_s = second
        out += injector.on_messages([trade_message(second)._replace(stream=f"a@{second}")])
        assert budget.state().held_bytes <= HELD_BYTES
    assert len(out) == 3
    assert budget.state().not_held > 0
    assert len(injector.clear()) == 1
    assert budget.state().held_bytes == 0


@pytest.mark.parametrize(
    "fault",
    [Huge(megabytes=48), Nested(levels=4_000_000), Foreign(symbol="X{n}", messages=100_000), WrongBook(form="many")],
)
def test_the_largest_order_of_a_fault_is_done_by_itself(fault: AlteringFault) -> None:
    injector = injector_of(fault)
    injector.on_messages([book(1)])
    assert injector.is_idle


def test_a_value_in_every_row_has_a_bound() -> None:
    long = "x" * 60_000
    injector = injector_of(
        WrongBook(form="many"), WrongValue(field="b.*.0", text=long), WrongValue(field="b.0.0", text=long)
    )
    (out,) = injector.on_messages([book(1)])
    assert size_of(out) <= LONGEST_FRAME
    assert [one["field"] for one in injector.report()] == ["b.*.0"]


def test_replies_and_answers_come_from_the_same_bytes() -> None:
    injector = injector_of(most=100_000)
    injector.add(OddReply(text="{id}" * 1_000, count=FOR_EVER))
    client = Subscriptions(combined=True, streams=(), most=10)
    request = '{"method":"LIST_SUBSCRIPTIONS","id":"%s"}' % ("x" * 36)
    replies = [injector.answer(client, request)[0] for _ in range(5)]
    odd = [reply for reply in replies if reply.startswith(b'"x')]
    assert 0 < len(odd) < 5
    assert len(b"".join(odd)) <= 100_000
    assert not injector.makes(1)
