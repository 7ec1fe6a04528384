"""Modules of a page as one file: it does what the modules do."""

import subprocess
from pathlib import Path

import pytest

from api.http.bundle import BundleError, bundle, modules_of
from api.routes.static import DASHBOARD
from tests.api.dashboard.test_preload import ENTRY
from tests.fakes.node import NODE

SOURCES = {
    "main.js": 'import { both, Sum as Total } from "./a/both.js";\nimport { one } from "./one.js";\n'
    'import { alone } from "./alone.js";\n'
    "const sum = await new Total(one, both, alone).value();\nconsole.log(sum);\n",
    "one.js": "export const one = 1;\nconst hidden = 100;\n",
    "a/both.js": 'import {\n  one,\n} from "../one.js";\nconst hidden = 2;\n/** Not an export. */\n'
    "export const both = one + hidden;\n"
    "export class Sum {\n  constructor(...all) { this.all = all; }\n  async value() { return add(this.all); }\n}\n"
    "export function add(all) { return all.reduce((sum, each) => sum + each, 0); }\n",
    "alone.js": "export const alone = 5;\nconst python = `\nimport json\n`;\n",
}


def ran(folder: Path, text: str) -> str:
    """What a module prints."""
    path = folder / "whole.mjs"
    path.write_text(text)
    return subprocess.run([str(NODE), path], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_it_does_what_the_modules_do(tmp_path: Path) -> None:
    assert modules_of(SOURCES, "main.js") == ["one.js", "a/both.js", "alone.js"]
    assert ran(tmp_path, bundle(SOURCES, "main.js")) == "9"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("one.js", 'import { both } from "./a/both.js";\n', "main.js > a/both.js > one.js > a/both.js is a circle"),
        ("one.js", 'import { x } from "./none.js";\n', "there is no none.js, which one.js imports"),
        ("one.js", 'export { both } from "./a/both.js";\n', "another form: export { both }"),
        ("one.js", "export default 1;\n", "another form: export default 1;"),
        ("main.js", 'import * as all from "./one.js";\n', "another form: import * as all"),
    ],
)
def test_what_cannot_be_one_file_is_refused(name: str, text: str, says: str) -> None:
    with pytest.raises(BundleError) as refusal:
        bundle({**SOURCES, name: text}, "main.js")
    assert says in str(refusal.value)


ENTRIES = [entry for page in sorted(DASHBOARD.glob("*.html")) for entry in ENTRY.findall(page.read_text())]


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_pages_are_such_modules(tmp_path: Path, entry: str) -> None:
    sources = {str(path.relative_to(DASHBOARD)): path.read_text() for path in DASHBOARD.rglob("*.js")}
    path = tmp_path / "whole.mjs"
    path.write_text(bundle(sources, entry))
    subprocess.run([str(NODE), "--check", path], check=True, capture_output=True, timeout=60)
