"""The encoder of the hub's binary messages, made of docs/marketflow-sbe.xml: `python -m tests.sbe_codec`."""

import builtins
import re
import struct

from tests.fakes.sbe_schema import Block, Field, Schema
from tests.marked import DOCS, ROOT

SCHEMA = DOCS / "marketflow-sbe.xml"
CODEC = ROOT / "sinks" / "hub" / "sbe_codec.py"

_HEAD = '''"""Encodes the messages of docs/marketflow-sbe.xml (Simple Binary Encoding), from which this file is made by
`python -m tests.sbe_codec`: change that, not this.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final, TypeAlias

SCHEMA: Final = {number}
VERSION: Final = {version}

_GROUP = Struct("<HI")
_LENGTH = Struct("<H")
'''
_TAIL = """

def _text(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded
"""


def codec() -> str:
    """The text of the file."""
    schema = Schema.read(SCHEMA)
    enums = [
        f"{_snake(name).upper()}: Final = {{\n"
        + "".join(f'    "{one}": {number},\n' for one, number in values.items())
        + "}\n"
        for name, values in schema.enums.items()
        if name != "boolean"
    ]
    head = _HEAD.format(number=schema.number, version=schema.version) + "".join(enums).rstrip("\n") + "\n"
    return head + "".join(map(_message, schema.messages)) + _TAIL


def _message(message: Block) -> str:
    name = _snake(message.name)
    rows = "".join(_group(name, group) for group in message.groups)
    parameters = [f"    {_snake(field.name)}: {_type(field)},\n" for field in message.fields]
    parameters += [f"    {_snake(group.name)}: Iterable[{_row_type(message, group)}],\n" for group in message.groups]
    parameters += [f"    {_snake(text)}: str,\n" for text in message.texts]
    size = struct.calcsize("<" + message.codes)
    values = [f"{size}", f"{message.number}", "SCHEMA", "VERSION", *(_snake(field.name) for field in message.fields)]
    fixed = "".join(f"        {value},\n" for value in values)
    groups = "".join(
        f"    {_snake(group.name)}_rows = [_{name}_{_snake(group.name)}.pack(*row) for row in {_snake(group.name)}]\n"
        for group in message.groups
    )
    parts = [f"_{name}.pack(\n{fixed}    )"]
    for group in message.groups:
        entry = struct.calcsize("<" + group.codes)
        parts.append(f'_GROUP.pack({entry}, len({_snake(group.name)}_rows)) + b"".join({_snake(group.name)}_rows)')
    parts += [f"_text({_snake(text)})" for text in message.texts]
    lines = "".join(f"    message += {part}\n" for part in parts[1:])
    return (
        f'\n\n_{name} = Struct("<HHHH{message.codes}")\n{rows}'
        f"\n\ndef encode_{name}(\n{''.join(parameters)}) -> bytes:\n"
        f'    """A message `{message.name}`."""\n{groups}    message = {parts[0]}\n{lines}    return message\n'
    )


def _group(message: str, group: Block) -> str:
    fields = "".join(f"\n    {_type(field)}," for field in group.fields)
    names = ", ".join(_snake(field.name) for field in group.fields)
    return (
        f'_{message}_{_snake(group.name)} = Struct("<{group.codes}")\n'
        f'{_row_name(message, group)}: TypeAlias = tuple[{fields}\n]\n"""{names}"""\n'
    )


def _row_type(message: Block, group: Block) -> str:
    return _row_name(_snake(message.name), group)


def _row_name(message: str, group: Block) -> str:
    return f"{message.title().replace('_', '')}{group.name.title()}"


def _type(field: Field) -> str:
    if field.type == "boolean":
        return "bool"
    return "bytes" if field.code.endswith("s") else "float" if field.code in "fd" else "int"


def _snake(name: str) -> str:
    found = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return f"{found}_" if hasattr(builtins, found) else found


def main() -> None:
    """Writes the file."""
    CODEC.write_text(codec())


if __name__ == "__main__":
    main()
