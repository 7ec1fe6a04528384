import asyncio
from pathlib import Path

from aiohttp import web
from structlog.testing import capture_logs

from api.deadman.alarm import News, by_command, by_request, raise_all
from tests.fakes.deployment import free_port

NEWS = News("alarm", 90.4)


async def test_a_command_gets_the_news_in_its_environment(tmp_path: Path) -> None:
    file = tmp_path / "said"
    await by_command(f'echo "$DEADMAN_CHANGE $DEADMAN_SILENT_S $DEADMAN_TEXT" > {file}')(NEWS)
    assert file.read_text() == "alarm 90 no watchdog came for 90 s: Prometheus or Alertmanager is down\n"


async def test_a_request_has_the_news_as_json() -> None:
    came: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        came.append(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await by_request(f"http://127.0.0.1:{runner.addresses[0][1]}/hook")(News("clear", 120.0))
    finally:
        await runner.cleanup()
    assert came == [{"change": "clear", "silent_s": 120, "text": "the watchdog of the alerts came again"}]


async def test_what_fails_is_logged_and_the_others_are_raised(tmp_path: Path) -> None:
    file = tmp_path / "said"
    with capture_logs() as logs:
        alarms = [by_request(f"http://127.0.0.1:{free_port()}/"), by_command("exit 3"), by_command(f"touch {file}")]
        async with asyncio.timeout(30):
            await raise_all(alarms, NEWS)
    assert file.exists()
    assert {entry["event"] for entry in logs} == {"alarm_failed"}
    assert len(logs) == 2
