"""The file of settings: TOML, YAML or JSON, whichever is there, with `${NAME}` from the environment."""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from flows.settings.sources import PREFIX, SettingsError, Values, Written, by_section, json_in, shown_value

FILES: Final = ("marketflow.toml", "marketflow.yaml", "marketflow.json")
"""Names of the file in the working directory."""
_MOST_NESTED: Final = 16
_MOST_BYTES: Final = 1 << 20
"""Longest file: what is longer is something else."""
_VARIABLE: Final = re.compile(r"\$(\$\{|\{([^{}]*)\})")
_SECRETS: Final = frozenset(("api_secret",))
"""Settings that stand nowhere but in the environment and in files of their own."""
_HEADER: Final = re.compile(r"\s*\[\[?\s*([\w\"'-]+)\s*(?:\.\s*([\w\"'-]+))?[^\]]*\]")
_KEY: Final = re.compile(r"\s*([\w\"'-]+)\s*(?:\.\s*([\w\"'-]+)\s*)?[.=]")

Lines: TypeAlias = dict[tuple[str, str], int]
"""By section and key; under the key "" that of the section."""


def settings_file() -> Path:
    """The file that is read if it exists; `SettingsError` when a named one does not, or there are several."""
    named = os.environ.get(f"{PREFIX}CONFIG", "").strip()
    if named:
        path = Path(named).absolute()
        if not path.is_file():
            raise SettingsError(f"{PREFIX}CONFIG names {named}, which is no file")
        return path
    present = [name for name in FILES if Path(name).is_file()]
    if len(present) > 1:
        raise SettingsError(f"{' and '.join(present)} are both in {Path.cwd()}: keep one, or name it in {PREFIX}CONFIG")
    return Path(present[0] if present else FILES[0]).absolute()


def file_settings(path: Path) -> Written:
    """The settings in a file, none without the file; its ending says how it is written. `SettingsError` names file and
    key, and the line where it is known.
    """
    if not path.is_file():
        return Written({}, {})
    text = _text(path)
    try:
        found, lines = _READERS.get(path.suffix.lower(), _toml)(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} cannot be read: {_one_line(error)}") from error
    try:
        values = by_section(found)
    except ValueError as error:
        name = str(error).partition(":")[0]
        raise SettingsError(_at(f"{error}", path, lines.get((name, "")))) from None
    places = {(section, ""): _place(path, lines.get((section, ""))) for section in values}
    places |= {(section, key): _place(path, lines.get((section, key))) for section in values for key in values[section]}
    _refuse_secrets(values, places)
    return Written(_with_variables(values, places), places)


def _refuse_secrets(values: Values, places: Mapping[tuple[str, str], str]) -> None:
    """`SettingsError` for a secret that stands in the file itself: such files are shown, copied and committed."""
    for section, of in values.items():
        for key in _SECRETS & of.keys():
            found = of[key]
            if not isinstance(found, str) or not _VARIABLE.fullmatch(found) or found.startswith("$$"):
                raise SettingsError(
                    f"{section}.{key}: a secret does not belong into this file: write ${{NAME}} for a variable of the "
                    f"environment, or {key}_file with the name of a file ({places.get((section, key), '')})"
                )


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = file.read(_MOST_BYTES + 1)
        text = found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}, line {line}: cannot be read: it is no UTF-8 text") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if len(found) > _MOST_BYTES:
        raise SettingsError(f"{path} cannot be read: it is longer than {_MOST_BYTES} bytes")
    return text.replace("\r\n", "\n")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _at(text: str, path: Path, line: int | None) -> str:
    what, _, advice = text.partition("; ")
    return f"{what} ({path}, line {line or 1})" + (f": {advice}" if advice else "")


def _place(path: Path, line: int | None) -> str:
    return f"{path}, line {line}" if line else str(path)


# --- the three forms ---


def _toml(text: str) -> tuple[Any, Lines]:
    return tomllib.loads(text), _lines_in(text)


def _json(text: str) -> tuple[Any, Lines]:
    return json_in(text), {}


def _yaml(text: str) -> tuple[Any, Lines]:
    """YAML without anchors, and with each key once; `ValueError` for anything else."""
    import yaml  # noqa: PLC0415 - only where the file is YAML

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return ({} if root is None else _checked(root, yaml.SafeLoader(text).construct_document)), _lines_of(root)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _checked(root: Any, construct: Callable[[Any], Any]) -> Any:
    """The document, after its nodes were looked at: an anchor stands for more than is written."""
    seen: set[int] = set()

    def check(node: Any, depth: int) -> None:
        if id(node) in seen:
            raise ValueError(f"line {node.start_mark.line + 1}: write the value itself, not an alias")
        if depth > _MOST_NESTED:
            raise ValueError("it is nested too deeply")
        seen.add(id(node))
        if node.id == "mapping":
            keys = [key.value for key, _ in node.value]
            for (key, value), name in zip(node.value, keys, strict=True):
                if key.id != "scalar" or keys.count(name) > 1:
                    raise ValueError(f"line {key.start_mark.line + 1}: {name!r} stands there twice, or is no name")
                key.tag = "tag:yaml.org,2002:str"
                check(value, depth + 1)
        elif node.id == "sequence":
            for value in node.value:
                check(value, depth + 1)

    check(root, 0)
    return construct(root)


def _lines_of(root: Any) -> Lines:
    """The lines of sections and keys."""
    lines: Lines = {}
    for section, node in root.value if root is not None and root.id == "mapping" else ():
        lines[section.value, ""] = section.start_mark.line + 1
        for key, value in node.value if node.id == "mapping" else ():
            lines[section.value, key.value] = key.start_mark.line + 1
            lines[f"{section.value}.{key.value}", ""] = key.start_mark.line + 1
            for inner, _ in value.value if value.id == "mapping" else ():
                lines[f"{section.value}.{key.value}", inner.value] = inner.start_mark.line + 1
    return lines


_READERS: Final[Mapping[str, Callable[[str], tuple[Any, Lines]]]] = {".yaml": _yaml, ".yml": _yaml, ".json": _json}
"""By the file's ending; any other is TOML."""


def _lines_in(text: str) -> Lines:
    """The lines of sections and keys of TOML, as far as they are found without parsing the values."""
    lines: Lines = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            outer, inner = _bare(header[1]), _bare(header[2])
            section = f"{outer}.{inner}" if outer == "venues" and inner else outer
            names = (section, "" if section != outer else inner)
        elif key := _KEY.match(line):
            names = (section, _bare(key[1])) if section else (_bare(key[1]), _bare(key[2]))
        else:
            continue
        lines.setdefault(names, number)
        lines.setdefault((names[0], ""), number)
    return lines


def _bare(name: str | None) -> str:
    return (name or "").strip("\"'")


# --- variables of the environment ---


def _with_variables(values: Values, places: Mapping[tuple[str, str], str]) -> Values:
    """The values with `${NAME}` replaced by the variable of that name; `$${` is `${` itself."""
    return {
        section: {
            key: _replaced(value, f"{section}.{key}", places.get((section, key), "")) for key, value in of.items()
        }
        for section, of in values.items()
    }


def _replaced(value: Any, name: str, place: str) -> Any:
    if isinstance(value, str):
        return "".join(_parts(value, name, place))
    if isinstance(value, list):
        return [_replaced(each, name, place) for each in value]
    if isinstance(value, Mapping):
        return {key: _replaced(each, name, place) for key, each in value.items()}
    return value


def _parts(text: str, name: str, place: str) -> Iterator[str]:
    end = 0
    for found in _VARIABLE.finditer(text):
        yield text[end : found.start()]
        end = found.end()
        if found[2] is None:
            yield "${"
        elif (value := os.environ.get(found[2])) is None:
            raise SettingsError(f"{name}: the environment has no variable {shown_value(found[2])} ({place})")
        else:
            yield value
    yield text[end:]
