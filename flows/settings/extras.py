"""What a setting needs that is not a part of every installation."""

from collections.abc import Iterator
from contextlib import contextmanager

from flows.process.version import how_to_install
from flows.settings.sources import SettingsError


@contextmanager
def needs_extra(extra: str, setting: str) -> Iterator[None]:
    """`SettingsError` with what to install where a package of an extra, imported here for a setting, is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        reason = f"{setting} is set, and {error.name} is not installed: {how_to_install(extra)}"
        raise SettingsError(reason) from error
