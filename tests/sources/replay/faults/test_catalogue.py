import msgspec

from sources.replay.faults.catalogue import catalogue
from sources.replay.faults.orders import FAULTS, decode_fault, describe


def test_every_fault_is_there_with_an_order_that_is_one() -> None:
    found = catalogue()
    assert [entry["name"] for entry in found] == [describe(kind).name for kind in FAULTS]
    for entry in found:
        assert decode_fault(msgspec.json.encode(entry["example"]))
        assert entry["example"].keys() - {"fault"} <= {field["name"] for field in entry["fields"]}


def test_fields_have_their_type_their_choices_and_their_default() -> None:
    fields = {entry["name"]: {field.pop("name"): field for field in entry["fields"]} for entry in catalogue()}
    plain = {"choices": [], "required": False}
    assert fields["gap"] == {
        "stream": plain | {"type": "text", "default": "*"},
        "after": plain | {"type": "integer", "default": 0},
        "count": plain | {"type": "integer", "default": 1},
    }
    assert fields["drop"]["client"] == plain | {"type": "integer", "default": None}
    assert fields["shutdown"]["close_after_s"] == plain | {"type": "number", "default": 0.0}
    assert fields["nested"]["closed"] == plain | {"type": "boolean", "default": True}
    assert fields["wrong_id"]["fields"] == {"type": "list", "choices": [], "default": None, "required": True}
    assert fields["refuse_subscribe"]["form"] == {
        "type": "text",
        "choices": ["flat", "silent", "wrapped"],
        "default": "wrapped",
        "required": False,
    }
    assert fields["refuse"]["status"]["type"] == "integer"
    assert 503 in fields["refuse"]["status"]["choices"]
