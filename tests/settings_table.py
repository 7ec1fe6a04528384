"""The table of settings in docs/settings.md, made from the settings themselves: `python -m tests.settings_table`."""

from typing import Any

from flows.settings import VENUES, Feed, Settings, VenueFeed
from flows.settings.meanings import meanings
from tests.marked import DOCS, replace

PAGE = DOCS / "settings.md"


def table() -> str:
    """One row a setting: name, default, meaning."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for section, field in Settings.model_fields.items():
        model: Any = VenueFeed if section == VENUES else field.annotation
        texts = meanings(model)
        for key, setting in model.model_fields.items():
            if model is VenueFeed and key in Feed.model_fields:
                continue
            name = f"{VENUES}.<name>.{key}" if model is VenueFeed else f"{section}.{key}"
            meaning = " ".join(texts[key].split())
            rows.append(f"| `{name}` | `{_shown(setting.default)}` | {meaning} |")
    return "\n".join(rows)


def _shown(default: Any) -> str:
    if default is None:
        return "-"
    if isinstance(default, tuple):
        return " ".join(map(str, default)) or "-"
    if isinstance(default, dict):
        return ", ".join(f"{key}={value}" for key, value in default.items()) or "-"
    return str(default).lower() if isinstance(default, bool) else str(default)


def main() -> None:
    """Puts the table into the page."""
    replace(PAGE, "settings", table())


if __name__ == "__main__":
    main()
