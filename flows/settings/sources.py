"""Sources of settings: what one of them sets, each value with its place, and the variables of the environment.

Values of the environment are texts, or stand in files that `MARKETFLOW_<SECTION>__<KEY>_FILE` names, as secrets do in
containers. Where the setting is a list or a mapping, `list_in` and `mapping_in` read them.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from flows.modules.compiled import PLAIN
from flows.names import did_you_mean, nearest

PREFIX: Final = "MARKETFLOW_"
_NO_SETTINGS: Final = ("config", PLAIN.removeprefix(PREFIX).lower())
"""Variables that are no settings: the file of them, and whether compiled parts are left out."""
VENUES: Final = "venues"
"""The section with a section for each venue, here named as in `venues.kraken`."""
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


def by_section(found: Any) -> Values:
    """What is written, by section, each venue's being one: `venues.kraken`. `ValueError` for what is no section."""
    if not isinstance(found, Mapping):
        raise ValueError('write a JSON object, as in {"key": 1}')  # noqa: TRY004 - the value is wrong, whatever its type
    for section, value in found.items():
        if not isinstance(value, Mapping):
            raise ValueError(f"{section}: {shown_value(value)}; write sections, as in [feed]")  # noqa: TRY004
    values = {section: dict(value) for section, value in found.items() if section != VENUES}
    for venue, value in found.get(VENUES, {}).items():
        if not isinstance(value, Mapping):
            text = f"{VENUES}.{venue}: {shown_value(value)}; write sections, as in [{VENUES}.{venue}]"
            raise ValueError(text)  # noqa: TRY004
        values[f"{VENUES}.{venue}"] = dict(value)
    return values


def nested(values: Values) -> dict[str, Any]:
    """The same values as the settings have them, the venues in a section of their own."""
    found: dict[str, Any] = {
        section: value for section, value in values.items() if not section.startswith(f"{VENUES}.")
    }
    venues = {section.partition(".")[2]: value for section, value in values.items() if section not in found}
    return found | ({VENUES: venues} if venues else {})


def shown_value(value: object) -> str:
    """A value as an error names it: in one line, and short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def shown_under(key: str, value: object, *, is_known: bool = False) -> str:
    """The value of a key, without secrets. That of an unknown key is hidden too when its name is similar to one."""
    is_similar = not is_known and bool(nearest(key, _SECRET_KEYS))
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
        section, key = section_and_key(name)
        if not key and section in _NO_SETTINGS:
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
            for part, found in _sections_in(name, section).items():
                values[part] = found
                places |= {(part, each): name for each in ("", *found)}
    return Written(values, places)


def _place_in_order(name: str) -> tuple[int, bool]:
    """Whole sections first, which single values override; files last."""
    return name.count("__"), name.lower().endswith(_IN_FILE)


def section_and_key(name: str) -> tuple[str, str]:
    """The section (`feed`, `venues.kraken`) and the key of a variable of the settings. In the name of a venue `_` is
    `-`, which no variable can have.
    """
    section, _, key = name[len(PREFIX) :].lower().partition("__")
    if section != VENUES or not key:
        return section, key
    venue, _, key = key.partition("__")
    return f"{VENUES}.{venue.replace('_', '-')}", key


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
        hint = did_you_mean(nearest(section, known))
        raise SettingsError(f"{name} is no setting; sections are {', '.join(known)}{got}{hint}")
    if key and key not in known[section]:
        those = f"those of {section} are {', '.join(known[section])}"
        raise SettingsError(f"{name} is no setting; {those}{got}{did_you_mean(nearest(key, known[section]))}")


def _sections_in(name: str, section: str) -> Values:
    """A complete section, or that of all venues, in JSON."""
    try:
        found = json_in(os.environ[name])
        return by_section({section: found} if isinstance(found, dict) else found)
    except ValueError as error:
        text = str(error)
        raise SettingsError(f"{text if text.startswith(section) else f'{section}: {text}'} ({name})") from None


# --- texts with several values ---


def list_in(text: str) -> list[Any]:
    """A list in a text: JSON as in `["A", "B"]`, or values with commas as in `A,B`. `ValueError` for JSON of another
    type.
    """
    stripped = text.strip()
    if not stripped.startswith(("[", "{", '"')):
        return [part.strip() for part in stripped.split(",") if part.strip()]
    found = json_in(stripped)
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
    found = json_in(stripped)
    if not isinstance(found, dict):
        raise ValueError("write pairs, as in 1m=7,5m=30")  # noqa: TRY004 - as above
    return found


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text.strip()!r} is no pair: write key=value, as in 1m=7,5m=30")
    return key.strip(), value.strip()


def json_in(text: str) -> Any:
    """The value of a JSON text; `ValueError` for an invalid one, one nested too deeply, and a repeated key."""
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
