"""Sources of settings: variables of the environment and a TOML file; each value with its place.

Values of the environment are texts, or stand in files that `MARKETFLOW_<SECTION>__<KEY>_FILE` names, as secrets do in
containers. Where the setting is a list or a mapping, `list_in` and `mapping_in` read them.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

PREFIX: Final = "MARKETFLOW_"
FILE: Final = "marketflow.toml"
Values: TypeAlias = dict[str, dict[str, Any]]
"""By section and key."""

_SHOWN: Final = 200
_IN_FILE: Final = "_file"
_MOST_BYTES: Final = 65_536
"""Longest file with a value: what is longer is something else."""
_SECRET_KEYS: Final = ("token", "secret", "password", "api_key")


class SettingsError(Exception):
    """The settings cannot be used; the text names which, why, and where to change them."""


class Written(NamedTuple):
    """The settings of one source."""

    values: Values
    places: Mapping[tuple[str, str], str]
    """The place by section and key, as text; under the key "" that of the section."""

    def place_of(self, section: str, key: str) -> str:
        """The place of a setting; empty when it is not set."""
        if key and key not in self.values.get(section, {}):
            return ""
        return self.places.get((section, key)) or self.places.get((section, ""), "")


def shown_value(value: object) -> str:
    """A value as an error names it: in one line, and short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def shown_under(key: str, value: object, *, is_known: bool = False) -> str:
    """The value of a key, without secrets. That of an unknown key is hidden too when its name is similar to one."""
    is_similar = not is_known and bool(get_close_matches(key, _SECRET_KEYS))
    if is_similar or any(secret in key for secret in _SECRET_KEYS):
        return "a value that is not shown"
    if isinstance(value, str) and "@" in value:
        scheme = value.partition("://")[0] if "://" in value else "…"
        return shown_value(f"{scheme}://***@{value.rpartition('@')[2]}")
    return shown_value(value)


# --- the environment ---


def environment(known: Mapping[str, Iterable[str]]) -> Written:
    """The settings in variables of the environment, in any case, and in the files that they name. `known` are the keys
    by section; `SettingsError` for an unknown variable, as a typing error would have no effect, for a value that is
    there twice, and for a file that cannot be read.
    """
    values: Values = {}
    places: dict[tuple[str, str], str] = {}
    variables = sorted((name for name in os.environ if name.upper().startswith(PREFIX)), key=_place_in_order)
    for name in variables:
        section, _, key = name[len(PREFIX) :].lower().partition("__")
        if (section, key) == ("config", ""):
            continue
        if of_file := _key_of_file(key, known.get(section, ())):
            if of_file in values.get(section, {}):
                raise SettingsError(f"{section}.{of_file} is set twice: by {name} and {places[section, of_file]}")
            values.setdefault(section, {})[of_file] = _text_in_file(os.environ[name], name)
            places[section, of_file] = name
            continue
        _refuse_unknown(name, section, key, known)
        if key:
            values.setdefault(section, {})[key] = os.environ[name]
            places[section, key] = name
        else:
            values[section] = _section_in(name, section)
            places |= {(section, each): name for each in ("", *values[section])}
    return Written(values, places)


def _place_in_order(name: str) -> tuple[bool, bool]:
    """Whole sections first, which single values override; files last."""
    return "__" in name, name.lower().endswith(_IN_FILE)


def _key_of_file(key: str, known: Iterable[str]) -> str:
    """The setting whose value stands in a file; empty where the key names no file."""
    setting = key.removesuffix(_IN_FILE)
    return setting if setting != key and key not in known and setting in known else ""


def _text_in_file(path: str, name: str) -> str:
    """The text of a file, without the ends of lines behind it. `SettingsError` when it cannot be read, is no UTF-8, or
    is too long.
    """
    try:
        with Path(path).open("rb") as file:
            found = file.read(_MOST_BYTES + 1)
        text = found.decode().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{name} names {path!r}, which cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{name} names {path!r}, which cannot be read: it is no UTF-8 text, or no path") from error
    if len(found) > _MOST_BYTES:
        raise SettingsError(f"{name} names {path!r}, which is longer than {_MOST_BYTES} bytes")
    return text


def _refuse_unknown(name: str, section: str, key: str, known: Mapping[str, Iterable[str]]) -> None:
    got = f"; got {shown_under(key or section, os.environ[name])}"
    if section not in known:
        raise SettingsError(f"{name} is no setting; sections are {', '.join(known)}{got}")
    if key and key not in known[section]:
        raise SettingsError(f"{name} is no setting; those of {section} are {', '.join(known[section])}{got}")


def _section_in(name: str, section: str) -> dict[str, Any]:
    """A complete section, in JSON."""
    try:
        found = _json(os.environ[name])
    except ValueError as error:
        raise SettingsError(f"{section}: {error} ({name})") from None
    if not isinstance(found, dict):
        raise SettingsError(f'{section}: write a JSON object, as in {{"key": 1}} ({name})')
    return found


# --- texts with several values ---


def list_in(text: str) -> list[Any]:
    """A list in a text: JSON as in `["A", "B"]`, or values with commas as in `A,B`. `ValueError` for JSON of another
    type.
    """
    stripped = text.strip()
    if not stripped.startswith(("[", "{", '"')):
        return [part.strip() for part in stripped.split(",") if part.strip()]
    found = _json(stripped)
    if isinstance(found, dict):
        raise ValueError("write a list, as in A,B")  # noqa: TRY004 - the value is wrong, whatever its type
    return found if isinstance(found, list) else [found]


def mapping_in(text: str) -> dict[str, Any]:
    """A mapping in a text: a JSON object, or pairs as in `1m=7,5m=30`. `ValueError` for anything else, or a repeated
    key.
    """
    stripped = text.strip()
    if not stripped.startswith(("[", "{", '"')):
        return _unique(_pair(part) for part in stripped.split(",") if part.strip())
    found = _json(stripped)
    if not isinstance(found, dict):
        raise ValueError("write pairs, as in 1m=7,5m=30")  # noqa: TRY004 - as above
    return found


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text.strip()!r} is no pair: write key=value, as in 1m=7,5m=30")
    return key.strip(), value.strip()


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} stands there twice")
        found[key] = value
    return found


# --- the file ---


def settings_file() -> Path:
    """The file that is read if it exists; `SettingsError` when a named one does not."""
    named = os.environ.get(f"{PREFIX}CONFIG", "").strip()
    path = Path(named or FILE).absolute()
    if named and not path.is_file():
        raise SettingsError(f"{PREFIX}CONFIG names {named}, which is no file")
    return path


def file_settings(path: Path) -> Written:
    """The settings in a file, none without the file; `SettingsError` names file and line of an error."""
    if not path.is_file():
        return Written({}, {})
    try:
        text = path.read_bytes().decode("utf-8-sig")
        found = tomllib.loads(text.replace("\r\n", "\n"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}, line {line}: cannot be read: it is no UTF-8 text") from error
    except (OSError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    for section, value in found.items():
        if not isinstance(value, dict):
            place = f"{path}, line {_lines_in(text).get((section, ''), 1)}"
            raise SettingsError(f"{section}: {shown_value(value)} ({place}): write sections, as in [feed]")
    lines = _lines_in(text)
    places = {(section, ""): _place(path, lines.get((section, ""))) for section in found}
    places |= {(section, key): _place(path, lines.get((section, key))) for section in found for key in found[section]}
    return Written(found, places)


def _place(path: Path, line: int | None) -> str:
    return f"{path}, line {line}" if line else str(path)


_HEADER = re.compile(r"\s*\[\[?\s*([\w\"'-]+)\s*(?:\.\s*([\w\"'-]+))?[^\]]*\]")
_KEY = re.compile(r"\s*([\w\"'-]+)\s*(?:\.\s*([\w\"'-]+)\s*)?[.=]")


def _lines_in(text: str) -> dict[tuple[str, str], int]:
    """The lines of sections and keys, as far as they are found without parsing the values."""
    lines: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            section = _bare(header[1])
            names = (section, _bare(header[2]))
        elif key := _KEY.match(line):
            names = (section, _bare(key[1])) if section else (_bare(key[1]), _bare(key[2]))
        else:
            continue
        lines.setdefault(names, number)
        lines.setdefault((names[0], ""), number)
    return lines


def _bare(name: str | None) -> str:
    return (name or "").strip("\"'")
