"""`marketflow config`: the settings shown, checked, and written into a file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from flows.command.examples import epilog
from flows.command.interface import Json
from flows.command.outcome import CommandError, ExitCode
from flows.command.tables import print_json, print_table

if TYPE_CHECKING:
    from flows.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    group = typer.Typer(no_args_is_help=True, help="The settings: shown, checked, written into a file.")
    group.command("show", epilog=epilog("config show"))(show)
    group.command("check", epilog=epilog("config check"))(check)
    group.command("init", epilog=epilog("config init"))(init)
    app.add_typer(group, name="config")


class Setting(NamedTuple):
    """One setting as it is in effect."""

    section: str
    key: str
    value: Any
    """Without secrets."""
    origin: str
    """`default`, the variable of the environment, or file and line."""
    is_inherited: bool
    """It is a venue's, and has the value of `[feed]`."""

    @property
    def is_changed(self) -> bool:
        """Whether it was set for this section."""
        return self.origin != "default" and not self.is_inherited


def settings_in_effect(settings: "Settings") -> list[Setting]:
    """Every setting, in the order of the sections. `SettingsError` when file or environment cannot be read."""
    from flows.command.settings_file import shown
    from flows.settings import place_of

    def setting(name: str, key: str, value: Any) -> Setting:
        place = place_of(name, key)
        is_inherited = name.startswith("venues.") and place == place_of("feed", key)
        return Setting(name, key, shown(key, value), place or "default", is_inherited)

    return [
        setting(name, key, getattr(section, key))
        for name, section in settings.in_sections.items()
        for key in type(section).model_fields
    ]


def show(
    sections: Annotated[list[str] | None, typer.Argument(help="Only these sections.")] = None,
    *,
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not the default.")] = False,
    as_json: Json = False,
) -> None:
    """Shows every setting, its value, and where it comes from; secrets are hidden."""
    from flows.settings import load_settings
    from flows.settings import sections as known_sections

    if unknown := [name for name in sections or () if name not in known_sections()]:
        known = ", ".join(known_sections())
        raise typer.BadParameter(f"there is no section {', '.join(unknown)}; there are {known}", param_hint="SECTIONS")
    found = [
        setting
        for setting in settings_in_effect(load_settings())
        if (not sections or setting.section in sections) and (setting.is_changed or not changed)
    ]
    if as_json:
        listed = [{"setting": f"{one.section}.{one.key}", "value": one.value, "origin": one.origin} for one in found]
        print_json(listed)
    else:
        rows = [(f"{one.section}.{one.key}", _text(one.value), one.origin) for one in found]
        print_table(("setting", "value", "origin"), rows)


def check() -> None:
    """Checks the settings: exit code 0 when they can be used, else 1, with every wrong key and its value. A folder
    that this user cannot make or write here is wrong, and so is a file that cannot be read.
    """
    from flows.settings import SettingsError, load_settings
    from flows.settings.account import withheld
    from flows.settings.files import settings_file
    from flows.settings.places import unusable
    from flows.texts import counted

    try:
        settings = load_settings()
        path = settings_file()
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(ExitCode.FAILED) from None
    if found := list(unusable(settings)):
        typer.echo("\n  ".join(("the settings cannot be used here:", *found)), err=True)
        raise typer.Exit(ExitCode.FAILED)
    changed = sum(setting.is_changed for setting in settings_in_effect(settings))
    file = f"the file {path}" if path.is_file() else f"no file (it would be {path})"
    typer.echo(f"the settings can be used: {counted(changed, 'is', 'are')} not the default; {file}")
    for text in withheld(settings).values():
        typer.echo(f"but {text}")


def init(
    *,
    path: Annotated[Path, typer.Option(help="The file to write.")] = Path("marketflow.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Writes a file with every setting, its default and its description, all commented out."""
    from flows.command.settings_file import file_text
    from flows.process.disk import DiskFullError, disk_full, is_no_room, whole_file

    try:
        with whole_file(path, replaces=force) as place:
            place.write_text(file_text(), encoding="utf-8")
    except FileExistsError:
        raise CommandError(f"{path} is there already and was not touched: --force replaces it") from None
    except OSError as error:
        if is_no_room(error):
            raise DiskFullError(disk_full(path)) from error
        raise CommandError(f"{path} cannot be written: {error.strerror}: name another file with --path") from error
    typer.echo(f"{path} has every setting, commented out; marketflow config check checks your changes")


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
