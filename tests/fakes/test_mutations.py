import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.captured import REPLIES, REST_BODIES, captured, examples
from tests.fakes.mutations import MOST_FRAME_BYTES, mutated

FRAME = examples()["aggTrade"][0]
KINDS = (
    "flip", "insert", "delete", "repeat", "splice", "truncate", "bad_utf8", "around", "remove", "type", "number",
    "quotes",
    "time", "id", "symbol", "nest", "twice", "order", "escape", "rows", "whole",
)  # fmt: skip


@given(st.binary(max_size=200) | st.sampled_from([FRAME, *REPLIES, *REST_BODIES.values()]), st.integers(0, 10**9))
def test_the_seed_and_the_frame_decide_alone(frame: bytes, seed: int) -> None:
    change = mutated(frame, seed, others=[FRAME])
    assert change == mutated(frame, seed, others=[FRAME])
    assert len(change.frame) <= MOST_FRAME_BYTES


def test_every_kind_is_drawn() -> None:
    names = Counter(name for seed in range(3_000) for name in mutated(FRAME, seed, others=[FRAME]).name.split("+"))
    assert set(names) == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("channel", sorted(examples()))
def test_most_mutations_change_a_frame_and_some_can_still_be_read(channel: str) -> None:
    frame = captured(1)[channel][0]
    changes = [mutated(frame, seed, others=[FRAME]).frame for seed in range(500)]
    assert sum(change != frame for change in changes) > 400
    assert sum(_is_json(change) for change in changes) > 150
    assert len(set(changes)) > 350


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def test_captured_frames_are_the_venues_own() -> None:
    for frame in (frame for frames in captured(3).values() for frame in frames if len(frame) < 100_000):
        assert set(json.loads(frame)) == {"stream", "data"}, frame[:30]
