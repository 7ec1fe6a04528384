"""What the settings mean, for those who list them."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping

from flows.settings.section import Section


def meanings(model: type[Section]) -> Mapping[str, str]:
    """The text below each setting of a section, by its name, inherited ones included; one without a text is left out.

    They are read from the source when wanted: pydantic would read them at every start of a process, which takes
    longer than to read the settings.
    """
    return {name: text for base in reversed(model.__mro__) if issubclass(base, Section) for name, text in _below(base)}


def _below(model: type[Section]) -> Iterator[tuple[str, str]]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 - the source of a class
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            yield field.target.id, inspect.cleandoc(text.value.value)
