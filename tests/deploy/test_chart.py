"""The page's chart library comes from a registry on this machine, or not at all, and never later than the bound."""

import base64
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.marked import ROOT

SCRIPT = ROOT / "deploy" / "chart.py"
LIBRARY = b"export const chart = 1;\n"
PATH = "/npm/lightweight-charts/-/lightweight-charts-1.2.3.tgz"
FILE = "lightweight-charts.standalone.production.mjs"


def package(name: str = FILE) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo(f"package/dist/{name}")
        member.size = len(LIBRARY)
        archive.addfile(member, io.BytesIO(LIBRARY))
    return packed.getvalue()


def lock(folder: Path, data: bytes) -> Path:
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    entry = {"version": "1.2.3", "integrity": integrity}
    path = folder / "package-lock.json"
    path.write_text(json.dumps({"packages": {"node_modules/lightweight-charts": entry}}))
    return path


@contextmanager
def registry(answer: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == PATH else 404)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/npm/"
        server.shutdown()


def fetched(
    folder: Path, lock: Path, *, url: str = "", npmrc: str = "", within_s: float = 60
) -> tuple[int, list[str], Path]:
    """Exit code, lines and file of the command, with a home of its own and no npm."""
    home = folder / "home"
    home.mkdir()
    (home / ".npmrc").write_text(npmrc)
    kept = {
        name: value for name, value in os.environ.items() if "npm" not in name.lower() and "proxy" not in name.lower()
    }
    told = {"HOME": str(home), "PATH": "/nowhere", **({"npm_config_registry": url} if url else {})}
    to = folder / "vendor" / FILE
    command = [sys.executable, str(SCRIPT), "--within", str(within_s), "--lock", str(lock), "--to", str(to)]
    done = subprocess.run(command, env=kept | told, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines(), to


@pytest.mark.parametrize("way", ["environment", "npmrc"])
def test_it_comes_from_the_registry_that_npm_is_set_to(tmp_path: Path, way: str) -> None:
    with registry(package()) as url:
        npmrc = f"; a comment\nregistry={url}\n" if way == "npmrc" else ""
        code, lines, to = fetched(tmp_path, lock(tmp_path, package()), url="" if npmrc else url, npmrc=npmrc)
    assert (code, to.read_bytes()) == (0, LIBRARY)
    assert lines[0] == "asking npm for the page's chart library, at most 60 s …"
    assert len(lines) == 2


def test_another_digest_is_refused(tmp_path: Path) -> None:
    with registry(package()) as url:
        code, lines, to = fetched(tmp_path, lock(tmp_path, b"another"), url=url)
    assert (code, to.exists()) == (1, False)
    assert lines[1] == (
        "… what the registry sent has another digest than package-lock.json names; the page does without: "
        "make dashboard tries again"
    )


def test_a_package_without_the_library_is_refused(tmp_path: Path) -> None:
    other = package("other.mjs")
    with registry(other) as url:
        code, lines, to = fetched(tmp_path, lock(tmp_path, other), url=url)
    assert (code, to.exists()) == (1, False)
    assert FILE in lines[1]


def test_a_registry_that_says_nothing_is_left_after_the_bound(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code, lines, _ = fetched(tmp_path, lock(tmp_path, package()), url=url, within_s=0.5)
    assert code == 1
    assert lines[1].startswith("… no answer in that time; the page does without")


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:9", "cannot be reached"), ("", "no registry is known: set npm_config_registry")],
)
def test_no_registry_is_said_at_once(tmp_path: Path, url: str, reason: str) -> None:
    code, lines, _ = fetched(tmp_path, lock(tmp_path, package()), url=url)
    assert code == 1
    assert reason in lines[1]


def test_another_path_of_a_registry_is_its_refusal(tmp_path: Path) -> None:
    with registry(package()) as url:
        code, lines, _ = fetched(tmp_path, lock(tmp_path, package()), url=f"{url}elsewhere")
    assert code == 1
    assert "the registry answers 404" in lines[1]
