"""The list of the page in its own scripts: orders by column, groups of the viewer, and which lines are in view."""

import json
from typing import Any

from tests.fakes.node import printed

ORDER = """
const { inOrder } = await import(process.argv[1]);
const [records, column, way, starred] = JSON.parse(process.argv[2]);
const isStarred = ({ symbol }) => starred.includes(symbol);
console.log(JSON.stringify(inOrder(records, { column, way, isStarred }).map(({ symbol }) => symbol)));
"""
RECORDS: list[dict[str, Any]] = [
    {
        "venue": "b",
        "symbol": "A",
        "data": {"price": 2, "price_change_percent_24h": 1, "volume_24h": 5},
        "state": "live",
    },
    {"venue": "b", "symbol": "B", "data": {"price": 1, "volume_24h": None}, "tick": {"bid": 99, "ask": 101}},
    {
        "venue": "b",
        "symbol": "C",
        "data": {"price": 2, "price_change_percent_24h": -1, "volume_24h": 6},
        "state": "cut",
    },
    {
        "venue": "b",
        "symbol": "D",
        "tick": {"bid": 99.9, "ask": 100.1},
        "funding": {"rate": -0.1},
        "reading": {"score": 0},
    },
]


def order(column: str, way: int, *starred: str) -> str:
    """The symbols in an order."""
    told = json.dumps([RECORDS, column, way, starred])
    return "".join(json.loads(printed(ORDER, "watch/columns.js", told)))


def test_what_is_not_known_comes_last_whichever_way_the_list_is_sorted() -> None:
    assert (order("change", -1), order("change", 1)) == ("ACBD", "CABD")
    assert (order("volume", -1), order("volume", 1)) == ("CABD", "ACBD")
    assert (order("spread", -1), order("spread", 1)) == ("BDAC", "DBAC")
    assert (order("state", -1), order("state", 1)) == ("CABD", "ACBD")
    assert order("funding", -1) == order("signal", 1) == "DABC"


def test_equal_ones_are_by_name_and_stars_first() -> None:
    assert (order("price", -1), order("price", 1)) == ("ACBD", "BACD")
    assert (order("name", 1), order("name", -1)) == ("ABCD", "DCBA")
    assert order("price", -1, "D", "B") == "BDAC"


GROUPS = """
const { Groups } = await import(process.argv[1]);
const held = new Map(JSON.parse(process.argv[2]));
const storage = { getItem: (name) => held.get(name) ?? null, setItem: (name, value) => held.set(name, value) };
let groups = new Groups(storage);
const told = [];
for (const [what, ...of] of JSON.parse(process.argv[3])) {
  const found = what === "again" ? (groups = new Groups(storage)) && null : groups[what](...of);
  if (typeof found === "function") found();
  told.push([typeof found === "function" ? null : found ?? null, groups.names]);
}
console.log(JSON.stringify(told));
"""


def groups(*steps: list[Any], held: dict[str, str] | None = None) -> list[list[Any]]:
    """What each step returned, and the names of the groups after it; a deletion is undone at once."""
    found: list[list[Any]] = json.loads(
        printed(GROUPS, "watch/groups.js", json.dumps(list((held or {}).items())), json.dumps(steps))
    )
    return found


def test_groups_are_made_renamed_moved_and_kept() -> None:
    found = groups(
        ["name", " Majors "], ["name", "Alts"], ["put", "Majors", "b:A", True], ["name", "majors"], ["name", " "],
        ["name", "Big", "Majors"], ["move", "Alts", -5], ["again"], ["has", "Big", "b:A"], ["removed", "Alts"],
        ["put", "Big", "b:A", False], ["again"], ["sizeOf", "Big"],
    )  # fmt: skip
    assert [one[0] for one in found[:7]] == [
        "", "", None, "there is a group majors already", "a group needs a name", "", None,
    ]  # fmt: skip
    assert found[5][1] == ["Big", "Alts"]
    assert found[7][1] == ["Alts", "Big"]
    assert found[8] == [True, ["Alts", "Big"]]
    assert found[9][1] == ["Alts", "Big"], "it was had back in its place"
    assert found[-1][0] == 0


def test_what_the_page_cannot_have_kept_is_no_group() -> None:
    for wrong in ("{", "5", '[{"name": 1, "members": []}]', '[{"name": "x"}]', "null"):
        assert groups(["name", "New"], held={"marketflow.groups": wrong, "marketflow.stars": wrong}) == [["", ["New"]]]


PLACES = """
const { Places } = await import(process.argv[1]);
const [lengths, calls] = JSON.parse(process.argv[2]);
const places = new Places(lengths);
console.log(JSON.stringify([places.whole, ...calls.map(([what, ...of]) => places[what](...of))]));
"""


def test_lines_in_view_and_how_far_it_is_to_one() -> None:
    calls = [
        ["between", 0, 25], ["between", 10, 30], ["between", 15, 16, 1], ["between", 60, 90], ["distance", 0, 15, 20],
        ["distance", 3, 0, 30], ["distance", 1, 5, 40], ["distance", 2, 35, 5],
    ]  # fmt: skip
    found = json.loads(printed(PLACES, "watch/places.js", json.dumps([[10, 10, 20, 20], calls])))
    assert found == [60, [0, 3], [1, 3], [0, 3], [4, 4], -15, 30, 0, -15]
    assert json.loads(printed(PLACES, "watch/places.js", json.dumps([[], [["between", 0, 9]]]))) == [0, [0, 0]]
