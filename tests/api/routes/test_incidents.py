"""The ledger in pages."""

from typing import Any

from tests.fakes.candles import BEGIN, candle, gap
from tests.fakes.interface import Deployment, fill, interface

HOUR = 3_600_000


async def test_the_ledger_is_read_in_pages_each_incident_once(deployment: Deployment) -> None:
    fill(deployment)
    made = [
        gap(begin=BEGIN + number // 3 * 1_000, first_id=number, kind=("gap", "repair")[number % 2])
        for number in range(1, 20)
    ]
    deployment.store(
        [
            *made,
            gap(symbol="ETHUSDT", first_id=100),
            gap(venue="kraken", symbol="", first_id=101),
            candle(venue="kraken"),
        ]
    )
    async with interface(deployment) as served:

        async def pages(**query: Any) -> list[int]:
            found: list[dict[str, Any]] = []
            cursor: str | None = ""
            while cursor is not None:
                page = await served.data("/api/incidents", params={"limit": 4, "cursor": cursor, **query})
                found += page["incidents"]
                cursor = page["next"]
            assert [one["begin"] for one in found] == sorted((one["begin"] for one in found), reverse=True)
            return sorted(one["first_id"] for one in found)

        own = [7, *range(1, 20)]
        assert await pages() == sorted([*own, 100, 101])
        assert await pages(symbol="btcusdt") == sorted(own)
        assert await pages(venue="kraken") == [101]
        assert await pages(kinds="repair", symbol="BTCUSDT") == list(range(1, 20, 2))
        assert await pages(kinds="late,repair", start=BEGIN + 1_000, end=BEGIN + 2_000) == [3, 5]
        assert await served.error("/api/incidents?kinds=nonsense") == (400, "bad_request")
        assert await served.error("/api/incidents?cursor=1.ff") == (400, "bad_request")
