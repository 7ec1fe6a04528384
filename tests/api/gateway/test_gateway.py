"""The gateway as a part of the whole interface: access, metrics, spellings."""

from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sinks.hub.payloads import AlertBody
from tests.fakes.alerts import alert
from tests.fakes.hubs import PATIENCE_S, ask, hear
from tests.fakes.interface import Deployment, fill, interface, price, until


def address(url: str, query: str = "") -> str:
    return f"{url.replace('http', 'ws', 1)}/ws{query}"


async def status_of(url: str, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, open_timeout=PATIENCE_S, **options)
    return refused.value.response.status_code


async def test_access_is_the_interfaces_and_symbols_have_any_spelling(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment, token="secret", account_token="own") as served:
        url = served.url
        assert await status_of(address(url)) == 401
        assert await status_of(address(url, "?token=secret"), origin="https://evil.example") == 403
        assert await status_of(address(url, "?token=secret&channels=Balance")) == 403
        assert await status_of(address(url, "?token=secret&channels=Nonsense")) == 400
        assert (await served.error("/ws?token=secret"))[0] == 400, "a request that is no handshake"
        instruments = served.services.instruments
        await until(lambda: list(instruments.names_of("eth/usdt")) == ["ETHUSDT"])
        async with connect(address(url, "?token=secret&channels=Status"), open_timeout=PATIENCE_S) as client:
            joined, *parts = await ask(client, op="subscribe", channels=["MarketData"], symbols=["eth/usdt"])
            assert joined["data"]["symbols"] == ["ETHUSDT"]
            assert joined["data"]["origins"] == {"binance": "replay"}
            [shown] = [message for part in parts for message in part["data"]["messages"]]
            assert shown["data"]["price"] == 50.0
            deployment.tell(price(51.0, "ETHUSDT"), price(101.0))
            message = await hear(client)
            assert (message["type"], message["data"]["price"]) == ("MarketData", 51.0)
        blank = address(url, "?token=secret&channels=&resume_after=")
        async with connect(blank, open_timeout=PATIENCE_S) as client:
            await ask(client, op="unsubscribe", symbols=["BTCUSDT"])
            deployment.tell(price(102.0), price(52.0, "ETHUSDT"))
            message = await hear(client)
            assert (message["type"], message["data"]["price"]) == ("MarketData", 52.0), "as if left out"
        text, _ = served.services.metrics.text()
        await until(
            lambda: b'market_data_api_answers_total{route="/ws",status="101"}' in served.services.metrics.text()[0]
        )
        assert b'route="/ws",status="403"' in text


async def test_an_alert_reaches_clients_of_the_gateway_as_it_is(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment) as served, connect(address(served.url), open_timeout=PATIENCE_S) as client:
        *_, snapshot = await ask(client, op="subscribe", channels=["Alert"], symbols=["BTCUSDT"])
        assert snapshot["data"]["messages"] == []
        deployment.tell(alert(1, symbol="ETHUSDT"), alert(1), alert(2))
        messages = [await hear(client) for _ in range(2)]
        assert [message["type"] for message in messages] == ["Alert", "Alert"]
        assert [message["data"] for message in messages] == [
            msgspec.to_builtins(AlertBody.of(alert(number))) for number in (1, 2)
        ]
