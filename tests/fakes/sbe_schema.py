"""A schema of Simple Binary Encoding read from its XML, and messages decoded by it: what any client can do."""

import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

_NAMESPACE = "{http://fixprotocol.io/2016/sbe}"
_CODES = {
    "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float": "f", "double": "d",
}  # fmt: skip


class Field(NamedTuple):
    """A field of a block or an entry."""

    name: str
    code: str
    """As `struct` reads it."""
    values: dict[str, int] | None
    """The values of an enumeration by name."""
    type: str


class Block(NamedTuple):
    """Fields of a fixed length, groups of entries, and texts."""

    name: str
    number: int
    fields: list[Field]
    groups: "list[Block]"
    texts: list[str]

    @property
    def codes(self) -> str:
        """The fields, as `struct` reads them."""
        return "".join(field.code for field in self.fields)


class Schema(NamedTuple):
    """A schema."""

    number: int
    version: int
    enums: dict[str, dict[str, int]]
    messages: list[Block]

    @classmethod
    def read(cls, path: Path) -> "Schema":
        """From its file."""
        root = ET.parse(path).getroot()
        enums = {
            enum.attrib["name"]: {one.attrib["name"]: int(one.text or "") for one in enum}
            for enum in root.iterfind("types/enum")
        }
        codes = _CODES | {
            enum.attrib["name"]: _CODES[enum.attrib["encodingType"]] for enum in root.iterfind("types/enum")
        }
        codes |= {one.attrib["name"]: _code(one) for one in root.iterfind("types/type")}

        def block(element: ET.Element) -> Block:
            fields = [
                Field(one.attrib["name"], codes[one.attrib["type"]], enums.get(one.attrib["type"]), one.attrib["type"])
                for one in element.iterfind("field")
            ]
            groups = [block(group) for group in element.iterfind("group")]
            texts = [one.attrib["name"] for one in element.iterfind("data")]
            return Block(element.attrib["name"], int(element.attrib["id"]), fields, groups, texts)

        messages = [block(one) for one in root.iterfind(f"{_NAMESPACE}message")]
        return cls(int(root.attrib["id"]), int(root.attrib["version"]), enums, messages)

    def decode(self, message: bytes) -> tuple[str, dict[str, Any]]:
        """Name and values of a message; every byte belongs to it."""
        length, number, schema, version = struct.unpack_from("<HHHH", message)
        assert (schema, version) == (self.number, self.version)
        [known] = [one for one in self.messages if one.number == number]
        found, at = _values(known, message, 8, length), 8 + length
        for group in known.groups:
            size, count = struct.unpack_from("<HI", message, at)
            at += 6
            found[group.name] = [_values(group, message, at + size * row, size) for row in range(count)]
            at += size * count
        for text in known.texts:
            [size] = struct.unpack_from("<H", message, at)
            found[text] = message[at + 2 : at + 2 + size].decode()
            at += 2 + size
        assert at == len(message)
        return known.name, found


def _code(element: ET.Element) -> str:
    primitive = element.attrib["primitiveType"]
    return f"{element.attrib['length']}s" if primitive == "char" else _CODES[primitive]


def _values(block: Block, message: bytes, at: int, length: int) -> dict[str, Any]:
    assert struct.calcsize("<" + block.codes) <= length
    values: Iterable[Any] = struct.unpack_from("<" + block.codes, message, at)
    return {field.name: _shown(field, value) for field, value in zip(block.fields, values, strict=True)}


def _shown(field: Field, value: Any) -> Any:
    if field.type == "boolean":
        return bool(value)
    if field.values is not None:
        return next(name for name, number in field.values.items() if number == value)
    if isinstance(value, bytes):
        return value.rstrip(b"\0").decode()
    return None if isinstance(value, float) and math.isnan(value) else value
