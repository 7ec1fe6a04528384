import httpx
import pytest
from websockets.sync.client import connect

from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.faults.orders import Drop, Gap
from tests.fakes.scripted_market import ScriptedMarket, trade_messages


def test_an_exchange_in_a_thread_is_the_same() -> None:
    trades = trade_messages(100)
    with exchange_in_thread(ScriptedMarket(trades), paused=True) as exchange:
        exchange.inject(Gap(count=10))
        with connect(exchange.ws_url + "/ws/btcusdt@trade") as client:
            exchange.resume()
            assert [client.recv(decode=False) for _ in range(90)] == [trade.data for trade in trades[10:]]
            exchange.wait_finished(timeout_s=10)
        assert httpx.get(exchange.rest_url + "/api/v3/ping", timeout=60).json() == {}
        with pytest.raises(ValueError, match="no client 9"):
            exchange.inject(Drop(client=9))
        exchange.pause()
        exchange.clear_faults()


def test_what_cannot_be_started_is_an_error_here() -> None:
    with exchange_in_thread(ScriptedMarket()) as exchange:
        port = int(exchange.rest_url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="address already in use"), exchange_in_thread(ScriptedMarket(), port=port):
            pass
