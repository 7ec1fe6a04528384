"""The pages and the description, served by a bare server on loopback."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import Handler

from api.http.errors import Problem
from api.http.route import NoParams, RawRoute
from api.routes import static as page
from api.routes.static import FILES_PATH, POLICY, FileParams, routes

DESCRIPTION: dict[str, Any] = {"openapi": "3.1.0", "paths": {"/thing": {}}, "info": {"title": "é"}}


def handler_of(route: RawRoute) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.match_info.get("path")
        return await route.handler(request, FileParams(path) if path else NoParams())

    return handle


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    app = web.Application()
    for route in routes(DESCRIPTION):
        app.router.add_get(route.path, handler_of(route))
    async with TestClient(TestServer(app)) as running:
        yield running


async def test_each_path_answers_in_the_form_it_names(client: TestClient[web.Request, web.Application]) -> None:
    found = {}
    pages = [route for route in routes(DESCRIPTION) if "{" not in route.path]
    for route in pages:
        async with client.get(route.path) as response:
            found[route.path] = (response.status, response.content_type)
    assert found == {route.path: (200, route.media) for route in pages}
    assert set(found) == {"/", "/quality", "/operations", "/docs", "/openapi.json"}


async def test_the_description_is_served_as_it_is(client: TestClient[web.Request, web.Application]) -> None:
    async with client.get("/openapi.json") as response:
        assert await response.json() == DESCRIPTION


@pytest.mark.parametrize("path", ["/", "/quality", "/operations", "/docs"])
async def test_a_page_loads_from_here_alone_and_is_looked_at_anew_each_time(
    client: TestClient[web.Request, web.Application], path: str
) -> None:
    async with client.get(path) as response:
        shown = await response.text()
        assert response.headers["Content-Security-Policy"] == POLICY
        assert response.headers["Cache-Control"] == "no-cache"
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', shown)
    assert loaded
    for address in loaded:
        assert re.match("/(?!/)", address), address
        async with client.get(address) as response:
            assert response.status == 200, address


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in POLICY.split(";"))
    assert (rules["default-src"], rules["frame-ancestors"]) == ("'self'", "'none'")
    assert "script-src" not in rules, "scripts are as everything else"
    assert not re.search(r"\*|https?:|unsafe-eval", POLICY)


async def test_without_the_dashboard_there_is_a_word_about_the_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "DASHBOARD", tmp_path)
    dashboard = routes(DESCRIPTION)[-1]
    with pytest.raises(Problem, match=r"described at /docs \(index.html\)") as refused:
        await dashboard.handler(None, NoParams())  # type: ignore[arg-type]
    assert (dashboard.path, refused.value.code in dashboard.errors) == ("/", True)


async def test_the_files_of_the_page_have_a_path_that_is_open(client: TestClient[web.Request, web.Application]) -> None:
    assert client.app is not None
    [files] = [resource.canonical for resource in client.app.router.resources() if "{" in resource.canonical]
    assert files == FILES_PATH
    async with client.get("/static/main.js") as response:
        assert (response.status, response.content_type) == (200, "text/javascript")
