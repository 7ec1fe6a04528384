"""The flame graph shows what the function of interest did, and nothing else."""

import re

import pytest

from tests.benchmarks.flame import MARGIN, WIDTH, flame_graph, tree_of

STACKS = [
    "main (a.py);run (b.py);parse (flows/operators/parse.py) 30",
    "main (a.py);run (b.py);parse (flows/operators/parse.py);decode (sources/binance/parse.py) 60",
    "main (a.py);run (b.py) 10",
    "main (a.py);imports (c.py) 500",
]


def test_samples_go_to_every_function_of_their_stack_from_the_root_on() -> None:
    top = tree_of(STACKS, root="run")
    [parse] = top.called.values()
    [decode] = parse.called.values()
    assert (top.samples, parse.samples, decode.samples, top.depth()) == (100, 90, 60, 3)


def test_width_is_the_share_of_time() -> None:
    picture = flame_graph(tree_of(STACKS, root="run"), title="run")
    widths = [float(width) for width in re.findall(r'<title>.*?width="([\d.]+)"', picture)]
    assert widths == pytest.approx([share * (WIDTH - 2 * MARGIN) for share in (1, 0.9, 0.6)], abs=0.1)
    assert "decode (sources/binance/parse.py): 60.0%" in picture
    assert "imports" not in picture


def test_a_profile_without_the_function_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples of elsewhere"):
        flame_graph(tree_of(STACKS, root="elsewhere"), title="nothing")
