"""Numbers as the page's own script writes them."""

import json

import pytest

from tests.fakes.node import printed

PLAY = """
const { compact, decimalsUpTo, fixed } = await import(process.argv[1]);
const [most, places, sums] = JSON.parse(process.argv[2]);
console.log(JSON.stringify([sums.map((sum) => fixed(sum, decimalsUpTo(most, places))), sums.map(compact)]));
"""


@pytest.mark.parametrize(
    ("most", "places", "sums", "column", "short"),
    [
        (92.57, 5, [0.8228, 56.0, 92.57], ["0.82", "56.00", "92.57"], ["0.8228", "56", "92.57"]),
        (1220.0, 3, [803.0, 1220.0], ["803", "1,220"], ["803", "1.220K"]),
        (0.5, 5, [0.25, 0.5], ["0.2500", "0.5000"], ["0.25", "0.5"]),
        (7.0, 0, [3.0, 7.0], ["3", "7"], ["3", "7"]),
        (0.0, 5, [0.0], ["0.000"], ["0"]),
    ],
)
def test_a_column_of_sums_has_its_points_in_one_place(
    most: float, places: int, sums: list[float], column: list[str], short: list[str]
) -> None:
    assert json.loads(printed(PLAY, "format.js", json.dumps([most, places, sums]))) == [column, short]


SIGNS = """
const { fixed, percent, signed, wayOf, wayOfPercent } = await import(process.argv[1]);
const values = JSON.parse(process.argv[2]);
const of = (value) => [percent(value), wayOfPercent(value), signed(value, 1), fixed(value, 0), wayOf(value, 1)];
console.log(JSON.stringify(values.map(of)));
"""


def test_what_is_rounded_to_zero_has_no_sign_and_no_way() -> None:
    assert json.loads(printed(SIGNS, "format.js", "[-0.004, 0.004, -0.3, 0.07, 0, -7]")) == [
        ["0.00%", "", "0.0", "0", ""],
        ["0.00%", "", "0.0", "0", ""],
        ["-0.30%", "down", "-0.3", "0", "down"],
        ["+0.07%", "up", "+0.1", "0", "up"],
        ["0.00%", "", "0.0", "0", ""],
        ["-7.00%", "down", "-7.0", "-7", "down"],
    ]


AMOUNTS = """
const { amount } = await import(process.argv[1]);
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(([value, places]) => amount(value, places))));
"""


def test_no_quantity_is_written_as_zero_but_zero() -> None:
    values = [[0.00000021, 5], [0.000004, 5], [0.000005, 5], [0.2, 0], [0.5, 0], [0.042712, 6], [0, 5], [None, 5]]
    assert json.loads(printed(AMOUNTS, "format.js", json.dumps(values))) == [
        "<0.00001", "<0.00001", "0.00001", "<1", "1", "0.042712", "0.00000", "\N{EN DASH}",
    ]  # fmt: skip


BYTES = """
const { bytes } = await import(process.argv[1]);
console.log(JSON.stringify(JSON.parse(process.argv[2]).map(bytes)));
"""


def test_sizes_are_in_the_largest_unit_that_fits() -> None:
    sizes = json.loads(printed(BYTES, "format.js", "[0, 999, 1000, 54052000000, 270600000000, 5e18]"))
    assert sizes == ["0 B", "999 B", "1 kB", "54.05 GB", "270.6 GB", "5,000 PB"]
