import json

from hypothesis import given
from hypothesis import strategies as st

from sources.replay.faults.budget import Budget
from sources.replay.faults.content_faults import Malformed
from sources.replay.faults.orders import Duplicate, Gap, Late, Reorder, Silence
from sources.replay.faults.transforms import OrderedFault, start_transform
from sources.replay.market.market import Message
from tests.fakes.scripted_market import trade_message

# One letter a message: `a0` is message 0 of stream a@trade, at 0 ms.


def messages(names: str) -> list[Message]:
    return [Message(index * 10, f"{name[0]}@trade", name.encode()) for index, name in enumerate(names.split())]


def after(fault: OrderedFault, names: str) -> str:
    transform = start_transform(fault, Budget(lambda: 0.0))
    out = [out for message in messages(names) for out in transform.on_message(message)]
    out += transform.release()
    return " ".join(message.data.decode() for message in out)


def test_a_gap_swallows_the_next_messages_of_the_stream() -> None:
    assert after(Gap(stream="a@*", count=2, after=1), "a0 b0 a1 b1 a2 a3") == "a0 b0 b1 a3"


def test_duplicates_come_right_after_the_original() -> None:
    assert after(Duplicate(stream="a@trade", count=2), "b0 a0 a1 a2") == "b0 a0 a0 a1 a1 a2"


def test_neighbours_of_a_stream_change_places() -> None:
    assert after(Reorder(stream="a@trade", count=1), "a0 b0 a1 a2") == "b0 a1 a0 a2"
    assert after(Reorder(count=2), "a0 b0 a1 b1 a2 b2") == "a1 a0 b1 b0 a2 b2"
    assert after(Reorder(count=5), "a0") == "a0"


def test_a_late_message_comes_after_so_many_others() -> None:
    assert after(Late(stream="a@trade", hold_messages=2), "a0 b0 a1 b1 a2 a3") == "b0 a1 b1 a2 a0 a3"
    assert after(Late(stream="a@trade", hold_messages=1, count=2), "a0 a1 a2 a3 a4") == "a1 a0 a3 a2 a4"


def test_a_late_message_comes_after_so_long_with_whatever_is_next() -> None:
    assert after(Late(stream="a@trade", hold_ms=25), "a0 a1 b0 b1 a2") == "a1 b0 a0 b1 a2"


def test_silence_lasts_so_long_and_everything_else_goes_on() -> None:
    assert after(Silence(stream="a@trade", for_ms=40), "a0 b0 a1 b1 a2 a3") == "b0 b1 a2 a3"
    assert after(Silence(stream="a@trade"), "a0 b0 a1 b1") == "b0 b1"


def test_malformed_messages_cannot_be_read() -> None:
    def spoiled(fault: Malformed) -> bytes:
        (out,) = start_transform(fault, Budget(lambda: 0.0)).on_message(trade_message(7))
        return out.data

    sent = trade_message(7).data
    assert spoiled(Malformed(form="cut")) == sent[: len(sent) // 2]
    assert spoiled(Malformed(form="text")) == b"Service Unavailable"
    assert json.loads(spoiled(Malformed(form="nan"))) == json.loads(sent) | {"p": "NaN"}


FAULTS = st.one_of(
    st.builds(Reorder, count=st.integers(1, 5), after=st.integers(0, 3), stream=st.sampled_from(["*", "a@trade"])),
    st.builds(Late, count=st.integers(1, 3), hold_messages=st.integers(1, 5)),
    st.builds(Late, count=st.integers(1, 3), hold_ms=st.integers(1, 50)),
)


@given(FAULTS, st.lists(st.sampled_from("ab"), max_size=30))
def test_what_only_disturbs_the_order_loses_nothing_and_adds_nothing(fault: OrderedFault, streams: list[str]) -> None:
    names = [f"{stream}{index}" for index, stream in enumerate(streams)]
    assert sorted(after(fault, " ".join(names)).split()) == sorted(names)


@given(st.integers(1, 5), st.integers(0, 5), st.lists(st.sampled_from("ab"), max_size=30))
def test_a_gap_is_one_run_of_its_stream(count: int, skipped: int, streams: list[str]) -> None:
    names = [f"{stream}{index}" for index, stream in enumerate(streams)]
    theirs = [name for name in names if name[0] == "a"]
    kept = [*theirs[:skipped], *theirs[skipped + count :]]
    expected = [name for name in names if name[0] == "b" or name in kept]
    assert after(Gap(stream="a@trade", count=count, after=skipped), " ".join(names)).split() == expected
