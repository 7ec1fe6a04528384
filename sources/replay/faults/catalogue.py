"""What can be ordered and its fields, for a form: the faults, and anything else that is described as they are."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, Struct, inspect

from sources.replay.faults.orders import FAULTS, describe

_TYPES: Final = (
    (inspect.BoolType, "boolean"),
    (inspect.IntType, "integer"),
    (inspect.FloatType, "number"),
    (inspect.DecimalType, "decimal"),
    (inspect.StrType, "text"),
    (inspect.VarTupleType, "list"),
)


def catalogue(kinds: Sequence[type[Struct]] = FAULTS) -> list[dict[str, Any]]:
    """Of each kind of order its name, its summary, an order as an example, and its fields: `name`, `type`, `choices`,
    `default`, and whether it is `required`. The type is `boolean`, `integer`, `number`, `decimal` (written as a text,
    so that no digit is lost), `text`, `list` or `json`.
    """
    return [_entry(kind) for kind in kinds]


def _entry(kind: type[Struct]) -> dict[str, Any]:
    described = describe(kind)
    info = inspect.type_info(kind)
    fields = info.fields if isinstance(info, inspect.StructType) else ()
    return {
        "name": described.name,
        "summary": described.summary,
        "example": msgspec.json.decode(described.example),
        "fields": [_field(field) for field in fields],
    }


def _field(field: inspect.Field) -> dict[str, Any]:
    kind = _bare(field.type)
    default = None if field.default is NODEFAULT else field.default
    choices = list(kind.values) if isinstance(kind, inspect.LiteralType) else []
    return {
        "name": field.encode_name,
        "type": _type_of(type(choices[0])) if choices else _name_of(kind),
        "choices": choices,
        "default": msgspec.to_builtins(default),
        "required": field.required,
    }


def _name_of(kind: inspect.Type) -> str:
    return next((name for known, name in _TYPES if isinstance(kind, known)), "json")


def _type_of(kind: type) -> str:
    return _name_of(inspect.type_info(kind))


def _bare(kind: inspect.Type) -> inspect.Type:
    """The type without bounds, and without None beside it."""
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        return _bare(others[0]) if len(others) == 1 else kind
    return kind
