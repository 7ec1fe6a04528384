from ssl import CERT_REQUIRED, SSLContext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.process.proxy import is_loopback, trusted_by


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080",
        "ws://127.255.255.254/x",
        "ws://localhost:9443/stream",
        "http://LOCALHOST",
        "http://localhost.:80/",
        "ws://exchange.localhost:1",
        "http://[::1]:8080/api",
        "ws://[::ffff:127.0.0.1]:1",
        "http://user:secret@127.0.0.1:8080/",
    ],
)
def test_addresses_of_this_machine(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "wss://stream.binance.com:9443",
        "http://128.0.0.1",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[::2]",
        "http://localhost.example.com",
        "http://notlocalhost",
        "http://127.0.0.1.example.com",
        "http://example.com/127.0.0.1",
        "http://127.0.0.1@example.com/",
        "http://[::1",
        "127.0.0.1:80",
        "",
    ],
)
def test_all_others(url: str) -> None:
    assert not is_loopback(url)


@given(st.text())
def test_it_never_raises(text: str) -> None:
    is_loopback(text)
    is_loopback(f"http://{text}")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "HTTP://venue.example"])
def test_a_client_of_a_plain_address_trusts_no_certificate(url: str) -> None:
    found = trusted_by(url)
    assert isinstance(found, SSLContext)
    assert found.verify_mode is CERT_REQUIRED
    assert found.check_hostname
    assert found.get_ca_certs() == []


@pytest.mark.parametrize("url", ["https://api.venue.example", "HTTPS://127.0.0.1", "venue.example", ""])
def test_any_other_trusts_those_of_the_system(url: str) -> None:
    assert trusted_by(url) is True
