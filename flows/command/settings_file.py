"""Settings as texts: a file with all of them, and values without secrets. Pure."""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic_core import PydanticUndefined

from flows.settings import Section, VenueFeed, sections
from flows.settings.meanings import meanings

WIDTH: Final = 100
_HEAD: Final = """\
# The settings of marketflow. A line with `#` right before the name of a setting or section is its default, and has no
# effect: take the `#` away to change it. The environment overrides this file: MARKETFLOW_FEED__SYMBOLS=BTCUSDT,ETHUSDT
"""
_SECRET_KEYS: Final = frozenset(
    ("token", "account_token", "password", "api_key", "api_secret", "webhook_secret", "webhook_url")
)
_HIDDEN: Final = "***"
_USER: Final = re.compile(r"(?<=://)[^/@]*(?=@)")
_QUERY_SECRET: Final = re.compile(r"(?<=[?&])([^=&]*(?:token|secret|password|key)[^=&]*)=[^&]*", re.IGNORECASE)


def file_text() -> str:
    """A TOML file with every section and setting commented out, each with its default and its description. Sections of
    venues are described only: each of them adds a venue.
    """
    return "\n".join((_HEAD, *(_section(name, model) for name, model in sections().items())))


def uncommented(text: str) -> str:
    """The same file with every setting in effect."""
    return re.sub(r"^#(?=[\[\w])", "", text, flags=re.MULTILINE)


def _section(name: str, model: type[Section]) -> str:
    if issubclass(model, VenueFeed):
        enabled = model.model_fields["enabled"]
        setting = f"enabled = {toml_value(enabled.default)}: {meanings(model)['enabled']}"
        return "\n".join([f"# [{name}]", *_comment(model.__doc__ or ""), *_comment(setting), "", ""])
    lines = [*_comment(model.__doc__ or ""), f"#[{name}]"]
    texts = meanings(model)
    for key, field in model.model_fields.items():
        lines += ["", *_comment(texts.get(key, ""))]
        lines.append(f"# {key} is not set" if field.default is None else f"#{key} = {toml_value(field.default)}")
    return "\n".join([*lines, "", ""])


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.split()), WIDTH, break_on_hyphens=False, break_long_words=False):
        yield f"# {line}"


def toml_value(value: Any) -> str:
    """A value of a setting as TOML."""
    if value is PydanticUndefined:
        raise ValueError("a setting without a default")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(str(value), ensure_ascii=False)  # TOML's basic strings escape as JSON does


def shown(key: str, value: Any) -> Any:
    """The value of a setting for people and programs, as JSON has it: without tokens, and addresses without users and
    their secrets.
    """
    if key in _SECRET_KEYS and value is not None:
        return _HIDDEN
    if isinstance(value, Mapping):
        return {name: shown("", each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [shown("", each) for each in value]
    if isinstance(value, str):
        return _QUERY_SECRET.sub(rf"\1={_HIDDEN}", _USER.sub(_HIDDEN, value))
    if isinstance(value, Path):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
