"""README.md and docs/: what they name exists, and their generated parts are current."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from flows.settings import Settings
from tests import commands_page, fault_table, picture, reading_list, settings_table
from tests.marked import DOCS, README, ROOT, current

PAGES = [README, *sorted(DOCS.glob("*.md"))]
README_LINES = 150
EXAMPLE_LINES = 30

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_MERGE = re.compile(rb"^(<{7}|>{7}|[|]{7})( |$)", re.MULTILINE)
_GENERATED = "run `make picture`"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCED.sub("", page.read_text())


def code(page: Path) -> str:
    """The blocks of code of a page without comments, and what stands between backticks."""
    blocks = (re.sub(r"(^|\s)#.*", "", block) for _, block in _FENCED.findall(page.read_text()))
    return "\n".join((*blocks, *re.findall(r"`([^`\n]+)`", prose(page))))


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`, as GitHub makes it of the headings."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).strip().replace(" ", "-")
        number = 0
        while (anchor := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(anchor)
    return found


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_readme_links_every_page() -> None:
    linked = {(README.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(prose(README))}
    assert {page.resolve() for page in PAGES[1:]} <= linked
    assert {path.resolve() for path in (DOCS / "examples").glob("*.py")} <= linked


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= README_LINES


@pytest.mark.parametrize("path", sorted((DOCS / "examples").glob("*.py")), ids=lambda path: path.name)
def test_the_examples_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= EXAMPLE_LINES


@each_page
def test_every_command_exists(page: Path) -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= made
    for module in re.findall(r"python -m ((?:flows|sources|sinks|api|tests)[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_the_readme_names_the_main_commands() -> None:
    assert {"run", "demo", "test", "check"} <= set(re.findall(r"make ([a-z-]+)", README.read_text()))


def test_the_help_knows_every_command() -> None:
    makefile = (ROOT / "Makefile").read_text()
    pattern = re.search(r"grep -E '([^']+)'", makefile)
    assert pattern
    shown = {line.partition(":")[0] for line in makefile.splitlines() if re.match(pattern[1], line)}
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    assert shown == set(phony[1].split())


@each_page
def test_every_python_file_and_folder_that_is_named_exists(page: Path) -> None:
    for path in re.findall(r"`((?:flows|sources|sinks|api|tests|deploy|notebooks)/[\w./]*)`", prose(page)):
        assert (ROOT / path).exists(), path


@each_page
def test_python_code_can_be_read_and_its_imports_exist(page: Path) -> None:
    for language, code in _FENCED.findall(page.read_text()):
        if language != "python":
            continue
        compile(code, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
        for module, names in re.findall(r"^from ((?:flows|sources|sinks|api)[\w.]*) import (.+)$", code, re.MULTILINE):
            for name in names.split(", "):
                assert hasattr(importlib.import_module(module), name), (module, name)


@pytest.mark.parametrize("page", picture.PAGES, ids=lambda page: page.name)
def test_the_picture_of_the_flow_is_current(page: Path) -> None:
    assert current(page, "flow") == picture.picture(), _GENERATED


def test_the_table_of_settings_is_current() -> None:
    assert current(settings_table.PAGE, "settings") == settings_table.table(), _GENERATED


@pytest.mark.parametrize("section", list(Settings().in_sections))
def test_every_setting_stands_in_the_table(section: str) -> None:
    text = settings_table.PAGE.read_text()
    for key in type(Settings().in_sections[section]).model_fields:
        assert f"`{section}.{key}`" in text, f"{section}.{key} is missing: {_GENERATED}"


def test_the_list_of_commands_is_current() -> None:
    assert current(commands_page.PAGE, "commands") == commands_page.text(), _GENERATED


@each_page
def test_every_command_of_ours_exists(page: Path) -> None:
    known = set(commands_page.commands())
    for words in re.findall(r"\bmarketflow ([a-z]+(?: [a-z]+)?)", code(page)):
        assert words in known or words.partition(" ")[0] in known, words


def test_the_table_of_faults_is_current() -> None:
    assert current(fault_table.PAGE, "faults") == fault_table.table(), _GENERATED


def test_the_table_of_orders_of_accounts_is_current() -> None:
    assert current(fault_table.PAGE, "orders") == fault_table.orders(), _GENERATED


def test_the_newcomers_path_is_current_and_short() -> None:
    assert current(reading_list.PAGE, "reading") == reading_list.table(), _GENERATED
    assert reading_list.total() <= reading_list.LONGEST


def test_the_code_speaks_of_itself_only() -> None:
    """No machine's paths, no registry's address in what is committed."""
    lock = (ROOT / "deploy" / "requirements.lock").read_text()
    assert not re.search(r"https?://|file:", lock)


def test_no_file_has_the_marks_of_a_merge() -> None:
    """Code would not run with them; a page, a style sheet or a manifest shows them to its readers."""
    folders = ("api", "deploy", "docs", "flows", "notebooks", "sinks", "sources", "tests")
    texts = {".md", ".css", ".html", ".js", ".mjs", ".toml", ".yaml", ".yml", ".xml", ".json"}
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in texts]
    marked = [path for path in (*ROOT.glob("*.*"), *files) if path.is_file() and _MERGE.search(path.read_bytes())]
    assert not marked
