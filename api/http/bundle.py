"""A page's modules as one file: a browser then makes one request where there were fifty.

Modules are those of the house style: `import { … } from "./path.js";` at the begin of a line, and `export` before a
`function`, `class` or `const`. Each becomes a function of its own, so that names do not meet; what it exports is there
when all of it has run, as without circles among the modules no one can tell. The entry stays as it is, and may `await`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

_IMPORT: Final = re.compile(r'^import (?:\{([^}]*)\} from )?"(\.[^"]+)";\n', flags=re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", flags=re.MULTILINE)
_LEFT: Final = re.compile(r"""^(?:import\b[^\n]*["']|export (?:default|let|var|\{|\*))""", flags=re.MULTILINE)
"""Other forms; a line of a program in another language that a text holds is none of them."""


class BundleError(ValueError):
    """The modules cannot be one file; the text says why."""


def bundle(sources: Mapping[str, str], entry: str) -> str:
    """The module `entry` with all that it imports, by their paths. `BundleError` for a module that is missing, has an
    import or export of another form, or imports itself by way of others.
    """
    order = list(_in_order(sources, entry, ()))
    unique = list(dict.fromkeys(order))
    numbers = {path: number for number, path in enumerate(unique)}
    parts = [_wrapped(sources[path], path, numbers) for path in unique[:-1]]
    return "\n".join([*parts, _body(sources[entry], entry, numbers)[0]])


def modules_of(sources: Mapping[str, str], entry: str) -> list[str]:
    """Paths of the modules that are imported, the deepest first."""
    return list(dict.fromkeys(_in_order(sources, entry, ())))[:-1]


def _in_order(sources: Mapping[str, str], path: str, above: tuple[str, ...]) -> Iterator[str]:
    if path in above:
        raise BundleError(f"{' > '.join([*above, path])} is a circle")
    if path not in sources:
        raise BundleError(f"there is no {path}, which {above[-1] if above else 'a page'} imports")
    for found in _IMPORT.finditer(sources[path]):
        yield from _in_order(sources, _resolved(path, found[2]), (*above, path))
    yield path


def _wrapped(source: str, path: str, numbers: Mapping[str, int]) -> str:
    body, names = _body(source, path, numbers)
    return f"const ${numbers[path]} = (() => {{\n{body}\nreturn {{ {', '.join(names)} }};\n}})();"


def _body(source: str, path: str, numbers: Mapping[str, int]) -> tuple[str, list[str]]:
    """The module without imports and exports, and the names that it exports."""

    def taken(found: re.Match[str]) -> str:
        names = re.sub(r"\s+as\s+", ": ", found[1] or "")
        return f"const {{{names}}} = ${numbers[_resolved(path, found[2])]};\n" if found[1] else ""

    names = _EXPORT.findall(source)
    body = _EXPORT.sub("", _IMPORT.sub(taken, source))
    if left := _LEFT.search(body):
        line = body[left.start() :].partition("\n")[0]
        raise BundleError(f"{path} has an import or export of another form: {line}")
    return body, names


def _resolved(path: str, name: str) -> str:
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / name).parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
