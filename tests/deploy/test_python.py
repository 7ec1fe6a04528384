"""Which Python the Makefile takes, and how it comes by one; the Pythons and uv here are small scripts."""

import subprocess
from pathlib import Path

import pytest

from tests.marked import ROOT

SCRIPT = ROOT / "deploy" / "python.sh"
FITS = "#!/bin/sh\nexit 0\n"
TOO_NEW = """#!/bin/sh
[ "$1" = -m ] || exit 1
/bin/mkdir -p "$3/bin"
/bin/cp {pip} "$3/bin/pip"
"""
NO_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n'
UV = '#!/bin/sh\n[ "$2" = find ] && echo {found}\nexit 0\n'
UV_OFFLINE = "#!/bin/sh\nexit 1\n"


def chosen(folder: Path, programs: dict[str, str], *, python: str = "") -> tuple[int, str, str]:
    """Exit code, choice and what is said, with only these programs on the path."""
    path = folder / "path"
    path.mkdir()
    for name, text in programs.items():
        script(path / name, text)
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT), str(folder / "own")],
        env={"PATH": str(path), "PYTHON": python}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize(
    ("there", "choice"),
    [
        (("python3", "python3.11", "python3.12"), "python3.12"),
        (("python3", "python3.11"), "python3.11"),
        (("python3",), "python3"),
    ],
)
def test_what_is_there_is_taken_in_silence(tmp_path: Path, there: tuple[str, ...], choice: str) -> None:
    assert chosen(tmp_path, dict.fromkeys(there, FITS)) == (0, choice, "")


def test_a_python_that_is_named_is_the_only_one(tmp_path: Path) -> None:
    programs = {"python3.12": FITS, "mine": FITS, "new": UV_OFFLINE}
    assert chosen(tmp_path, programs, python="mine") == (0, "mine", "")


def test_a_named_one_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    code, choice, said = chosen(tmp_path, {"python3.12": FITS, "new": UV_OFFLINE}, python="new")
    assert (code, choice) == (1, "")
    assert said == "marketflow needs Python 3.11 or 3.12, and PYTHON=new is none: make PYTHON=/path/to/python3.12\n"


def test_a_missing_venv_module_is_named(tmp_path: Path) -> None:
    code, choice, said = chosen(tmp_path, {"python3": NO_VENV})
    assert (code, choice) == (1, "")
    assert said == "marketflow: python3 has no venv module: install it (Debian, Ubuntu: python3-venv)\n"


def test_uv_fetches_one_where_none_fits(tmp_path: Path) -> None:
    found = tmp_path / "path" / "fetched"
    programs = {"python3": UV_OFFLINE, "fetched": FITS, "uv": UV.format(found=found)}
    code, choice, said = chosen(tmp_path, programs)
    assert (code, choice) == (0, str(found))
    assert said == "marketflow: no Python 3.11 or 3.12 here; uv fetches Python 3.12, once\n"


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_uv_itself_comes_from_pypi_where_it_is_missing(tmp_path: Path) -> None:
    found = tmp_path / "path" / "fetched"
    uv = script(tmp_path / "uv", UV.format(found=found))
    pip = script(tmp_path / "pip", f"#!/bin/sh\n/bin/cp {uv} {tmp_path}/own/bin/uv\n")
    code, choice, _ = chosen(tmp_path, {"python3": TOO_NEW.format(pip=pip), "fetched": FITS})
    assert (code, choice) == (0, str(found))


@pytest.mark.parametrize(
    "programs",
    [{"uv": UV_OFFLINE}, {"python3": TOO_NEW.format(pip="/nowhere")}, {}],
    ids=["uv", "python3", "nothing"],
)
def test_without_a_network_it_says_what_to_install(tmp_path: Path, programs: dict[str, str]) -> None:
    code, choice, said = chosen(tmp_path, programs)
    assert (code, choice) == (1, "")
    assert "install Python 3.12 or 3.11 with its venv module" in said
    assert "make PYTHON=/path/to/python3.12" in said
