"""Generated parts of pages, each between two comments: `<!-- name: begin -->` and `<!-- name: end -->`."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"


def current(page: Path, name: str) -> str:
    """What stands between the marks."""
    begin, end = _marks(name)
    return page.read_text().partition(begin)[2].partition(end)[0].strip()


def replace(page: Path, name: str, text: str) -> None:
    """Puts a text between the marks; `ValueError` when the page has none."""
    begin, end = _marks(name)
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page.name} has no {begin} … {end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
