"""Signed requests."""

import base64
import json
import socketserver
import threading
from contextlib import suppress
from typing import Any

import pytest

from flows.clock import wall_ms
from flows.model.alerts import Alert, AlertRule
from flows.model.secret import Secret, webhook_key
from sinks.alerts.webhook import Refusal, Webhook, body_of, signature_of
from tests.fakes.alerts import BEGIN, SECRET, alert, receiver
from tests.fakes.deployment import ROOT, free_port


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of standardwebhooks.com and of its libraries."""
    key = webhook_key(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    signature = signature_of(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_abc",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_äöü",
        "whsec_" + base64.b64encode(b"short").decode(),
    ],
)
def test_what_is_no_secret_of_a_webhook_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand"):
        webhook_key(Secret(text))


def test_a_request_says_what_was_seen_and_is_signed() -> None:
    with receiver() as there:
        hook = Webhook(there.url, Secret(SECRET))
        assert hook.send(alert(3), wall_s=1_767_225_700, timeout_s=60) is None
        there.refusals = [500, 302]
        assert hook.send(alert(4), wall_s=1, timeout_s=60) == Refusal("127.0.0.1 answered 500")
        assert hook.send(alert(4), wall_s=2, timeout_s=60) == Refusal("127.0.0.1 answered 302")
        hook.close()
    assert there.wrong == []
    assert there.attempts == [alert(3).id, alert(4).id, alert(4).id]
    assert there.taken == [
        {
            "type": "alert",
            "timestamp": "2026-01-01T00:00:00.003Z",
            "text": "BTCUSDT at binance: 100.5 is above 100 (trade 43)",
            "data": {
                "id": alert(3).id, "rule": "high", "kind": "price_above", "venue": "binance", "symbol": "BTCUSDT",
                "text": "BTCUSDT at binance: 100.5 is above 100 (trade 43)", "level": 100.0,
                "seen": {"price": 100.5, "trade_id": 43, "timestamp": BEGIN + 3}, "before": None, "percent": None,
                "state": "", "state_since": None, "reason": "", "timestamp": BEGIN + 3,
            },
        }
    ]  # fmt: skip


def test_the_body_is_the_same_at_every_attempt_and_names_any_symbol_in_ascii_headers() -> None:
    one = alert(symbol="币安人生USDT")
    assert body_of(one) == body_of(one)
    assert one.id.isascii()
    with receiver() as there:
        hook = Webhook(there.url, Secret(SECRET))
        assert hook.send(one, wall_s=1, timeout_s=60) is None
        hook.close()
    assert there.taken[0]["data"]["symbol"] == "币安人生USDT"


def test_a_receiver_that_is_not_there_is_a_reason_without_the_address() -> None:
    hook = Webhook(f"http://127.0.0.1:{free_port()}/secret-path?key=hunter2", Secret(SECRET))
    refusal = hook.send(alert(), wall_s=1, timeout_s=60)
    assert refusal
    assert refusal.cause.startswith("127.0.0.1 cannot be reached")
    assert "hunter2" not in refusal.cause
    hook.close()


@pytest.mark.parametrize("answer", ["", "HTTP/1.1 200 OK\r\nX: "])
def test_a_receiver_whose_answer_never_ends_holds_up_nothing(answer: str) -> None:
    ended = threading.Event()

    class Slow(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(answer.encode())
                while not ended.wait(0.05):
                    self.request.sendall(b"x" if answer else b"")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        hook = Webhook(f"http://127.0.0.1:{server.server_address[1]}/secret", Secret(SECRET))
        try:
            assert hook.send(alert(), wall_s=1, timeout_s=0.5) == Refusal("127.0.0.1 did not answer in time")
        finally:
            ended.set()
            hook.close()
            server.shutdown()


def test_an_alert_about_a_state_has_no_price() -> None:
    rule = AlertRule("quiet", "silence", for_s=30)
    one = Alert("quiet-1-x", rule, "kraken", "BTC-USD", 1, BEGIN, 0, state="cut", state_since=BEGIN, reason="closed")
    found = json.loads(body_of(one))
    assert found["timestamp"] is None
    assert found["text"] == "BTC-USD at kraken: no current trades for 30 s: closed"
    assert (found["data"]["seen"], found["data"]["state"], found["data"]["state_since"]) == (
        None, "cut", "2026-01-01T00:00:00Z",
    )  # fmt: skip


def test_the_receiver_of_the_documentation_takes_what_is_signed_and_nothing_else() -> None:
    """The code in docs/alerts.md, as it stands there."""
    page = (ROOT / "docs" / "alerts.md").read_text()
    block = page.partition("<!-- verify: begin -->\n```python\n")[2].partition("```")[0]
    assert len(block.splitlines()) <= 12
    names: dict[str, Any] = {}
    exec(block, names)
    body, now = body_of(alert()), wall_ms() // 1_000
    signature = signature_of(webhook_key(Secret(SECRET)), alert().id, now, body)
    headers = {"webhook-id": alert().id, "webhook-timestamp": str(now), "webhook-signature": f"v1,other {signature}"}
    assert names["is_ours"](SECRET, headers, body)
    assert not names["is_ours"](SECRET, headers, body + b" ")
    assert not names["is_ours"](SECRET, headers | {"webhook-id": "other"}, body)
    assert not names["is_ours"](SECRET, headers | {"webhook-timestamp": str(now - 1)}, body)
    assert not names["is_ours"]("whsec_" + base64.b64encode(b"x" * 24).decode(), headers, body)
    old = str(now - 301)
    signed = signature_of(webhook_key(Secret(SECRET)), alert().id, now - 301, body)
    assert not names["is_ours"](SECRET, headers | {"webhook-timestamp": old, "webhook-signature": signed}, body)
