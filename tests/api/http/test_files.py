"""Files for browsers, served by a bare server on loopback."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy

from api.http.errors import Problem
from api.http.files import ANEW, FOR_GOOD, LOOK_AGAIN_MS, Files

PATIENCE_S = 60
STYLE = "body { color: red }\n" * 200


class Served(NamedTuple):
    """A server of the files of a folder, and a client that unpacks nothing."""

    folder: Path
    url: str
    session: ClientSession

    async def get(self, path: str, **headers: str) -> tuple[int, CIMultiDictProxy[str], bytes]:
        """Status, headers and body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(self.url + path, headers={"Accept-Encoding": "identity", **named}) as response:
            return response.status, response.headers, await response.read()

    async def version(self) -> str:
        """The version in the page."""
        _, _, body = await self.get("/")
        return body.decode().split("/static/")[1].split("/")[0]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    (tmp_path / "index.html").write_text('<link rel="stylesheet" href="/static/style.css"><a href="/docs">')
    (tmp_path / "style.css").write_text(STYLE)
    (tmp_path / "chart").mkdir()
    (tmp_path / "chart" / "short.js").write_text("export const one = 1;\n")
    (tmp_path / "package.json").write_text("{}")
    files = Files(tmp_path)

    async def page(request: web.Request) -> web.StreamResponse:
        return files.page(request, "index.html", {"X-Policy": "strict"})

    async def file(request: web.Request) -> web.StreamResponse:
        try:
            return files.file(request, request.match_info["path"])
        except Problem as problem:
            return web.Response(status=problem.status)

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/static/{path:.+}", file)
    async with TestServer(app) as server, ClientSession(auto_decompress=False) as session:
        yield Served(tmp_path, str(server.make_url("")).rstrip("/"), session)


async def test_what_has_a_version_is_kept_for_good_and_the_page_is_not(served: Served) -> None:
    status, headers, body = await served.get("/")
    version = await served.version()
    assert (status, headers["Cache-Control"], headers["X-Policy"]) == (200, ANEW, "strict")
    assert body.decode() == f'<link rel="stylesheet" href="/static/{version}/style.css"><a href="/docs">'
    for path, cached in ((f"/static/{version}/style.css", FOR_GOOD), ("/static/style.css", ANEW)):
        status, headers, body = await served.get(path)
        assert (status, headers["Cache-Control"], body.decode()) == (200, cached, STYLE)
        assert headers["Content-Type"] == "text/css; charset=utf-8"
    assert (await served.get(f"/static/{version}/chart/short.js"))[2] == b"export const one = 1;\n"


async def test_what_is_known_is_not_sent_again(served: Served) -> None:
    for path in ("/", "/static/style.css"):
        _, headers, _ = await served.get(path)
        status, again, body = await served.get(path, If_None_Match=f'"other", {headers["ETag"]}')
        assert (status, again["ETag"], again["Cache-Control"], body) == (304, headers["ETag"], ANEW, b"")
        assert (await served.get(path, If_None_Match='"other"'))[0] == 200


async def test_a_long_file_is_compressed_for_those_who_take_it(served: Served) -> None:
    _, plain, _ = await served.get("/static/style.css")
    status, headers, body = await served.get("/static/style.css", Accept_Encoding="gzip, br")
    assert (status, headers["Content-Encoding"], headers["Vary"]) == (200, "gzip", "Accept-Encoding")
    assert gzip.decompress(body).decode() == STYLE
    assert len(body) < len(STYLE) / 10
    assert headers["ETag"] != plain["ETag"], "a proxy may hold both"
    status, again, _ = await served.get("/static/style.css", Accept_Encoding="gzip", If_None_Match=headers["ETag"])
    assert (status, again["ETag"]) == (304, headers["ETag"])
    assert "Content-Encoding" not in (await served.get("/static/chart/short.js", Accept_Encoding="gzip"))[1]


async def test_a_changed_file_makes_another_version(served: Served) -> None:
    before = await served.version()
    (served.folder / "style.css").write_text(STYLE + "p {}")
    async with asyncio.timeout(PATIENCE_S):
        while (after := await served.version()) == before:
            await asyncio.sleep(0.05)
    assert before != after
    status, headers, body = await served.get(f"/static/{before}/style.css")
    assert (status, headers["Cache-Control"], body.decode()) == (200, ANEW, STYLE + "p {}")
    assert (await served.get(f"/static/{after}/style.css"))[1]["Cache-Control"] == FOR_GOOD


@pytest.mark.parametrize("path", ["none.js", "package.json", "..%2findex.html", "chart", "%00"])
async def test_nothing_else_is_served(served: Served, path: str) -> None:
    assert (await served.get(f"/static/{path}"))[0] == 404


async def test_the_modules_of_a_page_are_one_file(served: Served) -> None:
    preloads = "".join(
        f'<link rel="modulepreload" href="/static/{name}">\n' for name in ("chart/short.js", "vendor/library.mjs")
    )
    (served.folder / "index.html").write_text(f'{preloads}<script type="module" src="/static/main.js"></script>')
    (served.folder / "main.js").write_text('import { one } from "./chart/short.js";\nconsole.log(one);\n')
    await asyncio.sleep(LOOK_AGAIN_MS / 1_000 * 1.2)
    version = await served.version()
    _, _, page = await served.get("/")
    path = f"/static/{version}/bundle/main.js"
    assert page.decode() == (
        f'<link rel="modulepreload" href="/static/{version}/vendor/library.mjs">\n'
        f'<script type="module" src="{path}"></script>'
    )
    status, headers, body = await served.get(path)
    assert (status, headers["Cache-Control"]) == (200, FOR_GOOD)
    assert b"import" not in body
    assert b"const one = 1;" in body
    (served.folder / "main.js").write_text("export default 1;\n")  # of no form that we know: modules, as they are
    await asyncio.sleep(LOOK_AGAIN_MS / 1_000 * 1.2)
    _, _, page = await served.get("/")
    assert f"/{await served.version()}/main.js".encode() in page
