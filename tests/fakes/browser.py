"""What the page needs to be looked at: a browser, and the chart library."""

import shutil
from typing import Final

from api.page import DASHBOARD

LIBRARY: Final = DASHBOARD / "vendor" / "lightweight-charts.standalone.production.mjs"
NO_BROWSER: Final = "there is no chromium here: apt-get install chromium"
NO_LIBRARY: Final = "the chart library is not installed: make dashboard"


def chromium() -> str | None:
    """The machine's browser."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
