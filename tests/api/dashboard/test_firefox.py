"""The page in Firefox: it shows what the hub says, is used by pointer and keys, and its console finds no fault."""

from pathlib import Path

import pytest

from tests.fakes.firefox import NO_FIREFOX, firefox, running_firefox
from tests.fakes.interface import BOOK, Deployment, fill, interface, price, state
from tests.fakes.pages import DESKTOP, PHONE

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(firefox() is None, reason=NO_FIREFOX)]

TEXT = "document.querySelector('{}').textContent"


async def test_the_page_works_in_firefox_too(deployment: Deployment, tmp_path: Path) -> None:
    fill(deployment)
    async with (
        deployment.beating(),
        interface(deployment) as running,
        running_firefox(str(firefox()), tmp_path) as window,
    ):
        deployment.tell(state("live"), state("live", symbol="ETHUSDT"), BOOK)
        await window.resize(DESKTOP)
        await window.go(f"{running.url}/#BTCUSDT/1m")
        await window.until("document.querySelector('#light').dataset.state === 'live'")
        await window.until(f"{TEXT.format('#price')} === '100.00'")
        await window.until(f"{TEXT.format('#bids .level span')} === '99.50'")
        await window.until("marketflow.candles.length >= 10")
        deployment.tell(price(123.25))
        await window.until(f"{TEXT.format('#prices li[data-symbol=BTCUSDT] .price')} === '123.25'")
        await window.click("#prices li[data-symbol=ETHUSDT] a")
        await window.until(f"{TEXT.format('#symbol')} === 'ETHUSDT'")
        assert await window.evaluate("location.hash") == "#binance/ETHUSDT/1m"
        await window.evaluate("history.back()")
        await window.until(f"{TEXT.format('#symbol')} === 'BTCUSDT'")
        await window.type("5")
        await window.until("location.hash === '#binance/BTCUSDT/4h'")
        await window.click("#columns [data-column=change]")
        await window.until("document.querySelector('#columns [data-column=change]').ariaPressed === 'true'")
        await window.resize(PHONE)
        assert await window.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for path in ("quality", "operations", "docs"):
            await window.go(f"{running.url}/{path}")
            await window.until("document.querySelectorAll('main section').length > 2")
            assert await window.evaluate("document.querySelector('#missing').hidden")
        assert window.complaints == []
