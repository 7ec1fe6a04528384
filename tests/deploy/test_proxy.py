"""The examples of deploy/proxy: the proxies themselves read them, and nginx serves a demo by one of them."""

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.fakes.demo import running_demo
from tests.fakes.deployment import free_port, until_listening
from tests.marked import ROOT

FOLDER = ROOT / "deploy" / "proxy"
NAME = "market.example.com"
LETSENCRYPT = f"/etc/letsencrypt/live/{NAME}"
TOKEN = "a-token-of-sufficient-length"
PATIENCE_S = 120
"""Longest wait for something that should take a moment: a bound for broken runs, not a measure."""


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: the package {name} of Debian has it")
    return found


def certified(folder: Path) -> Path:
    """A certificate for the name of the examples."""
    subprocess.run(
        [
            program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
            "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}",
            "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "fullchain.pem"


def nginx_conf(folder: Path, *, api: str = "8080", hub: str = "8765", http: int = 80, https: int = 443) -> Path:
    """The example with other ports and paths, inside what a distribution's own configuration says around it."""
    text = (FOLDER / "nginx.conf").read_text()
    for before, after in (
        (LETSENCRYPT, str(folder)), ("/var/log/nginx", str(folder)), ("listen 80;", f"listen 127.0.0.1:{http};"),
        ("listen 443", f"listen 127.0.0.1:{https}"), ("127.0.0.1:8080", f"127.0.0.1:{api}"),
        ("127.0.0.1:8765", f"127.0.0.1:{hub}"),
    ):  # fmt: skip
        assert before in text
        text = text.replace(before, after)
    (folder / "marketflow.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\n{temporary}access_log {folder}/access.log;\ninclude {folder}/marketflow.conf;\n}}\n"
    )
    return main


def test_nginx_takes_the_example(tmp_path: Path) -> None:
    nginx = program("nginx")
    certified(tmp_path)
    done = subprocess.run(
        [nginx, "-t", "-c", nginx_conf(tmp_path, http=free_port(), https=free_port())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def test_caddy_takes_the_example(tmp_path: Path) -> None:
    done = subprocess.run(
        [program("caddy"), "validate", "--adapter", "caddyfile", "--config", FOLDER / "Caddyfile"],
        env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Valid configuration" in done.stdout + done.stderr


@asynccontextmanager
async def running_nginx(folder: Path, **ports: Any) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(program("nginx"), "-c", nginx_conf(folder, **ports))
    try:
        await until_listening(ports["https"], process, folder / "error.log", within_s=PATIENCE_S)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def line(port: int, trusted: ssl.SSLContext, **options: Any) -> connect:
    """A connection to the hub by the name, at the proxy's address."""
    return connect(f"wss://{NAME}:{port}/ws", host="127.0.0.1", port=port, ssl=trusted, server_hostname=NAME, **options)


async def status_of(port: int, trusted: ssl.SSLContext, **options: Any) -> int:
    """The status by which the hub refuses a connection."""
    with pytest.raises(InvalidStatus) as refused:
        async with line(port, trusted, **options):
            pass
    return refused.value.response.status_code


async def until_type(socket: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] == kind:
                return message


@pytest.mark.e2e
@pytest.mark.slow
async def test_a_demo_is_served_through_nginx_by_tls_and_token(tmp_path: Path) -> None:
    program("nginx")
    trusted = ssl.create_default_context(cafile=certified(tmp_path))
    https = free_port()
    own = f"https://{NAME}:{https}"
    settings = {"api__token": TOKEN, "hub__token": TOKEN, "hub__origins": [own]}
    with running_demo(tmp_path, **settings) as demo:
        ports = {"api": demo.port("API"), "hub": demo.port("HUB"), "http": free_port(), "https": https}
        async with running_nginx(tmp_path, **ports), httpx.AsyncClient(verify=trusted, timeout=PATIENCE_S) as http:
            address = f"https://127.0.0.1:{https}"

            async def get(
                path: str, *, port: str = address, host: str = f"{NAME}:{https}", **headers: str
            ) -> httpx.Response:
                given = {"Host": host, **headers}
                return await http.get(f"{port}{path}", headers=given, extensions={"sni_hostname": NAME})

            await asyncio.to_thread(demo.until_ready)
            assert (await get("/health/live")).status_code == 200
            knows = {"Authorization": f"Bearer {TOKEN}"}
            assert (await get("/api/status")).status_code == 401
            assert (await get("/api/status", **knows)).json()["data"]["origin"] == "synthetic"
            assert (await get("/api/status", **knows, Origin=own)).status_code == 200
            assert (await get("/api/status", **knows, Origin="https://other.example.com")).status_code == 403
            assert "<title>" in (await get("/")).text
            moved = await get("/docs", port=f"http://127.0.0.1:{ports['http']}", host=NAME)
            assert (moved.status_code, moved.headers["location"]) == (301, f"https://{NAME}/docs")

            assert await status_of(https, trusted) == 401
            assert await status_of(https, trusted, origin="https://other.example.com", additional_headers=knows) == 403
            async with line(https, trusted, additional_headers=knows, origin=own) as socket:
                await socket.send(json.dumps({"op": "subscribe", "channels": ["Trade"]}))
                assert (await until_type(socket, "Trade"))["data"]["symbol"] in ("BTCUSDT", "ETHUSDT")
            async with connect(
                f"wss://{NAME}:{https}/ws?token={TOKEN}",
                host="127.0.0.1",
                port=https,
                ssl=trusted,
                server_hostname=NAME,
            ) as socket:
                assert await until_type(socket, "MarketData")
    assert TOKEN not in (tmp_path / "marketflow.log").read_text()
