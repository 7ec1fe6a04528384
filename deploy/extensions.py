# ruff: noqa: INP001 - a script, and no package: the Makefile starts it by its path, and the build of the wheel
"""Compiles what is written in C, where there is a compiler: each `_name.c` becomes the extension module `_name` of the
same package. Without a compiler, or Python's headers, plain Python does the same (`flows/modules/compiled.py`).

    python deploy/extensions.py      # in place, as `make` does it for a checkout; what is up to date stays

The wheel gets them from the hook below, and then is one for this platform; else it is one for any.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("api", "flows", "sinks", "sources")
FLAGS = ("-O3", "-g0", "-ffp-contract=off")
"""Behind those that Python itself was compiled with. Sums are exact only where each product is rounded by itself."""


def sources(root: Path = ROOT) -> list[Path]:
    """The files in C."""
    return sorted(path for package in PACKAGES for path in (root / package).rglob("_*.c"))


def module_name(source: Path) -> str:
    """Name of the file that a source becomes, for this Python and platform."""
    return f"{source.stem}{sysconfig.get_config_var('EXT_SUFFIX') or '.so'}"


def compile_all(targets: dict[Path, Path]) -> Iterator[tuple[Path, str]]:
    """Compiles each source into its target; gives the sources with what went wrong, empty where nothing did."""
    for source, target in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        made = target.with_name(f"{target.name}.{os.getpid()}")  # another process may do the same
        try:
            done = subprocess.run(  # noqa: S603 - the compiler that this Python names
                _command(source, made), capture_output=True, text=True, errors="replace", check=False
            )
            fault = done.stderr.strip() if done.returncode else ""
            if not fault:
                made.replace(target)
        except OSError as error:
            fault = str(error)
        made.unlink(missing_ok=True)
        yield source, fault


def _command(source: Path, target: Path) -> list[str]:
    """The command that compiles and links a source. `CC` names another compiler, as it does elsewhere."""

    def words(name: str) -> list[str]:
        return shlex.split(str(sysconfig.get_config_var(name) or ""))

    linker = words("LDSHARED") or ["cc", "-shared"]
    if compiler := os.environ.get("CC"):
        linker = [*shlex.split(compiler), *linker[1:]]
    headers = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    flags = [*words("CFLAGS"), *words("CCSHARED"), *FLAGS, *(f"-I{path}" for path in sorted(headers))]
    return [*linker, *flags, str(source), "-o", str(target)]


def main() -> None:
    """Compiles in place what is older than its source."""
    targets = {source: source.with_name(module_name(source)) for source in sources()}
    due = {
        source: target
        for source, target in targets.items()
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime
    }
    faults = {source: fault for source, fault in compile_all(due) if fault}
    if faults:
        names = ", ".join(str(source.relative_to(ROOT)) for source in faults)
        reason = _last(next(iter(faults.values())))
        sys.stderr.write(f"not compiled, plain Python does the same: {names}: {reason}\n")


def _last(fault: str) -> str:
    """The line that says most of a compiler's words."""
    lines = fault.splitlines()
    return next((line for line in lines if "error" in line), lines[-1])


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # a checkout that only runs
    pass
else:

    class Hook(BuildHookInterface[Any]):
        """Puts what could be compiled into the wheel."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Called before the wheel is built; one that is edited in place has them in place."""
            root, folder = Path(self.root), Path(self.directory) / ".extensions"
            if version == "editable":
                main()
                return
            targets = {path: folder / path.parent.relative_to(root) / module_name(path) for path in sources(root)}
            for source, fault in compile_all(targets):
                if fault:
                    self.app.display_warning(f"{source.name} is not compiled: {_last(fault)}")
                else:
                    target = targets[source]
                    build_data["force_include"][str(target)] = target.relative_to(folder).as_posix()
                    build_data["pure_python"], build_data["infer_tag"] = False, True

        def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
            """Called when the wheel is built: the compiled files are in it."""
            shutil.rmtree(Path(self.directory) / ".extensions", ignore_errors=True)


if __name__ == "__main__":
    main()
