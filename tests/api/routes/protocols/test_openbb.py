"""What OpenBB Workspace reads of the interface: each widget leads to an answer of the shape that it states."""

from typing import Any

from tests.fakes.interface import Deployment, fill, interface


async def test_each_widget_has_its_data(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment, cors=("https://pro.openbb.co",)) as served:
        headers = {"Origin": "https://pro.openbb.co"}
        async with served.session.get(f"{served.url}/widgets.json", headers=headers) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://pro.openbb.co"
            widgets: dict[str, Any] = await response.json()
        for widget in widgets.values():
            assert {"name", "description", "type", "endpoint"} <= set(widget)
            data = widget["data"]
            if widget["type"] == "advanced_charting":
                status, described = await served.get(
                    f"{widget['endpoint']}/symbols", params={"symbol": data["defaultSymbol"]}
                )
                assert (status, described["ticker"]) == (200, "BINANCE:BTCUSDT")
                continue
            status, answer = await served.get(widget["endpoint"])
            rows = answer[data["dataKey"]]
            fields = {column["field"] for column in data["table"]["columnsDefs"]}
            assert status == 200
            assert rows
            for row in rows:
                assert fields <= set(row)
                assert not any(isinstance(value, list | dict) for value in row.values()), "tables are flat"
        assert sorted(widget["type"] for widget in widgets.values()) == ["advanced_charting", "table", "table"]


async def test_without_a_symbol_charts_begin_with_none(deployment: Deployment) -> None:
    async with interface(deployment) as served:
        _, widgets = await served.get("/widgets.json")
        assert widgets["marketflow_chart"]["endpoint"] == "/udf"
