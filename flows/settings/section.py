"""Base of all sections of the settings."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from flows.names import symbol_of
from flows.settings.values import as_written, is_loopback

Stream = Literal[
    "aggTrade", "trade", "kline", "ticker", "miniTicker", "depth", "bookTicker", "markPrice", "forceOrder",
    "contractInfo",
]  # fmt: skip


class Section(BaseModel):
    """A part of the settings: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        """Lists and mappings may be texts, in every source."""
        field = cls.model_fields[info.field_name or ""]
        if field.annotation is Path and value == "":
            raise ValueError("write the name of a folder")
        return as_written(value, field.annotation)


def wrong_value(key: str, text: str) -> PydanticCustomError:
    """An error of one key, from a check of several."""
    return PydanticCustomError("setting", "{text}", {"key": key, "text": text})


def check_order(section: Section, lower: str, upper: str) -> None:
    """Refuses a section in which the setting `lower` is above `upper`; the error names the one that was set."""
    least, most = getattr(section, lower), getattr(section, upper)
    if least <= most:
        return
    if upper in section.model_fields_set:
        raise wrong_value(upper, f"it is below {lower}, {least:g}: choose at least that")
    raise wrong_value(lower, f"it is above {upper}, {most:g}: choose at most that, or a larger {upper}")


def refuse_open_host(host: str, token: str | None) -> None:
    """Refuses a server without a token that is reachable from outside."""
    if not is_loopback(host) and not token:
        raise wrong_value("host", f"host {host} can be reached from outside: set token, or listen on 127.0.0.1")


def symbols_of(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The symbols, each once, as the venue writes them."""
    return tuple(dict.fromkeys(symbol_of(text.strip()) for text in texts))
