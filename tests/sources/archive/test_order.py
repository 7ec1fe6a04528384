import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.archive.order import STRETCH_IDS, OrderError, are_rising, in_order
from tests.fakes.examples import examples


def blocks_of(ids: list[int], size: int) -> list[pl.DataFrame]:
    frame = pl.DataFrame({"id": ids, "price": [float(number) for number in ids]}, {"id": pl.Int64, "price": pl.Float64})
    return [frame[start : start + size] for start in range(0, len(ids), size)]


def ordered(ids: list[int], size: int, few: int) -> list[int]:
    blocks = blocks_of(ids, size)
    return [number for block in in_order(iter(blocks), lambda: are_rising(blocks), few=few) for number in block["id"]]


@settings(max_examples=examples(30))
@given(st.lists(st.integers(0, 5 * STRETCH_IDS), max_size=60), st.integers(1, 20), st.integers(1, 5))
def test_rows_come_in_the_order_of_their_ids_each_once(ids: list[int], size: int, few: int) -> None:
    assert ordered(ids, size, few) == sorted(set(ids))


def test_rows_in_order_are_handed_on_as_they_are() -> None:
    blocks = blocks_of(list(range(100)), 10)
    assert [block is given for block, given in zip(in_order(iter(blocks), lambda: True, few=2), blocks, strict=True)]


def test_two_rows_of_one_id_that_differ_are_refused() -> None:
    one, other = blocks_of([1], 1)[0], pl.DataFrame({"id": [1], "price": [2.0]})
    for few in (1, 5):
        with pytest.raises(OrderError, match="two trades of id 1"):
            list(in_order(iter([one, other]), lambda: are_rising([one, other]), few=few))


@pytest.mark.slow
def test_ids_that_are_none_are_refused() -> None:
    ids = [number * STRETCH_IDS for number in range(10_002)]
    random.Random(1).shuffle(ids)
    with pytest.raises(OrderError, match="too far apart"):
        list(in_order(iter([*blocks_of(ids[:10], 10), *blocks_of(ids[10:], len(ids))]), lambda: False, few=1))
