"""The table of settings in the README, made from the settings themselves: `python -m tests.settings_table`."""

from typing import Any

from flows.settings import Settings
from tests.picture import README

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"


def table() -> str:
    """One row a setting: name, default, meaning."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for section, field in Settings.model_fields.items():
        model: Any = field.annotation
        for key, setting in model.model_fields.items():
            meaning = " ".join((setting.description or "").split())
            rows.append(f"| `{section}.{key}` | `{_shown(setting.default)}` | {meaning} |")
    return "\n".join(rows)


def _shown(default: Any) -> str:
    if default is None:
        return "-"
    if isinstance(default, tuple):
        return " ".join(map(str, default)) or "-"
    if isinstance(default, dict):
        return ", ".join(f"{key}={value}" for key, value in default.items())
    return str(default).lower() if isinstance(default, bool) else str(default)


def current_table() -> str:
    """The table that the README shows."""
    return README.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    """Puts the table into the README."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
