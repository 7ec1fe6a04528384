"""Who connects to the bus, and what the permissions of a server leave to whom."""

import asyncio
import datetime as dt
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import aclosing
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.services import _live_view
from flows.model import Balance, MarketData, VenueItems
from flows.settings import Bus, Settings, SettingsError
from sinks.bus.client import check_credentials, connected
from sinks.bus.entry import Kept
from sinks.bus.leases import bucket_of, subject_of_key
from sinks.bus.stored import BusError, Stored
from sinks.bus.subjects import filters
from sinks.bus.writer import BusWriter
from tests.fakes.accounts import BALANCE
from tests.fakes.candles import BEGIN
from tests.fakes.nats import NatsServer, bus, needs_nats, running_nats, until
from tests.marked import DOCS

pytestmark = needs_nats


def documented_permissions() -> dict[str, str]:
    """Those of docs/scaling.md, by user."""
    [block] = re.findall(r"```text\n(flow   = .*?)```", (DOCS / "scaling.md").read_text(), re.DOTALL)
    return dict(re.findall(r"^(\w+) +=(.*?\})$", block, re.MULTILINE | re.DOTALL))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[NatsServer]:
    """A server with the documented users."""
    users = "\n".join(
        f'{{ user: {name}, password: "of {name}", permissions:{rights} }}'
        for name, rights in documented_permissions().items()
    )
    with running_nats(tmp_path, config=f"authorization {{ users: [ {users} ] }}") as server:
        yield server


def as_user(name: str, server: NatsServer, **changes: object) -> Bus:
    return bus(server, user=name, password=f"of {name}", **changes)


async def read(settings: Bus, subjects: list[str], *, newest: bool = False) -> list[Stored]:
    found = []
    async with connected(settings, "test") as client:
        await client.span()
        async with aclosing(client.read(subjects, newest_of_each=newest)) as messages:
            async for stored in messages:
                found.append(stored)
                if not stored.pending:
                    break
    return found


def publish(settings: Bus) -> BusWriter:
    writer = BusWriter(settings, flow="flow", rate=100, origins={"binance": "replay"})
    writer.write(VenueItems("binance", [MarketData("binance", "BTCUSDT", 1.0, BEGIN), BALANCE]))
    return writer


def test_a_reader_of_markets_cannot_read_accounts_or_publish(guarded: NatsServer) -> None:
    assert isinstance(BALANCE, Balance)
    publish(as_user("flow", guarded)).close()
    reader = as_user("reader", guarded)
    for newest in (True, False):
        [message] = asyncio.run(read(reader, filters(["binance"], accounts=False), newest=newest))
        assert message.subject == "mf.binance.BTCUSDT.MarketData"
    for forbidden in (["mf-account.binance.>"], ["mf.binance.>", "mf-account.binance.>"]):
        with pytest.raises(BusError):
            asyncio.run(read(reader, forbidden))
    assert len(asyncio.run(read(as_user("flow", guarded), filters(["binance"], accounts=True)))) == 2

    writer = publish(as_user("reader", guarded, create=False))
    until(lambda: writer.outage)
    writer.close()
    assert len(asyncio.run(read(reader, filters(["binance"], accounts=False)))) == 1


def test_who_is_not_known_is_refused_with_the_servers_words(guarded: NatsServer) -> None:
    with pytest.raises(BusError, match=r"(?i)authorization"):
        asyncio.run(read(bus(guarded, user="flow", password="wrong"), ["mf.>"]))


def test_a_token_opens_a_server(tmp_path: Path) -> None:
    with running_nats(tmp_path, config='authorization { token: "open" }') as server:
        publish(bus(server, token="open")).close()
        with pytest.raises(BusError):
            asyncio.run(read(bus(server, token="shut"), ["mf.>"]))


def test_servers_and_clients_show_certificates(tmp_path: Path) -> None:
    ca, cert, key = certificates(tmp_path)
    config = f'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", verify: true }}'
    with running_nats(tmp_path, config=config) as server:
        url = server.url.replace("nats", "tls", 1)
        settings = Bus(url=(url,), tls_ca=ca, tls_cert=cert, tls_key=key)
        publish(settings).close()
        assert len(asyncio.run(read(settings, ["mf.>"]))) == 1
        for wrong in (Bus(url=(url,)), Bus(url=(url,), tls_ca=ca)):
            with pytest.raises(BusError):
                asyncio.run(read(wrong, ["mf.>"]))


def test_one_of_the_servers_that_answer_is_taken(tmp_path: Path) -> None:
    with running_nats(tmp_path) as server:
        publish(Bus(url=("nats://127.0.0.1:1", server.url))).close()
        assert len(asyncio.run(read(Bus(url=("nats://127.0.0.1:1", server.url)), ["mf.>"]))) == 1
    with pytest.raises(BusError, match=r"127\.0\.0\.1:\d: .*; nats://127\.0\.0\.1:\d: "):
        asyncio.run(read(Bus(url=("nats://127.0.0.1:1", "nats://127.0.0.1:2")), ["mf.>"]))


async def test_a_server_that_does_not_answer_is_not_waited_for_where_another_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.bus.client.random.sample", lambda urls, _: [urls[1], urls[0]])  # the mute one first
    monkeypatch.setattr("sinks.bus.client.OPEN_S", 600)
    with running_nats(tmp_path) as server, socket.create_server(("127.0.0.1", 0)) as mute:
        settings = Bus(url=(f"nats://127.0.0.1:{mute.getsockname()[1]}", server.url))
        async with connected(settings, "test") as client:
            assert not client.is_lost


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """An authority, and a certificate of it with its key, for this machine."""
    now = dt.datetime.now(dt.UTC)
    span = now - dt.timedelta(days=1), now + dt.timedelta(days=1)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def made(of: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *, ca: bool) -> x509.Certificate:
        builder = x509.CertificateBuilder(name("authority"), name(of), key.public_key(), 1 + ca, *span)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        local = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        return builder.add_extension(local, critical=False).sign(by, hashes.SHA256())

    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem, files = serialization.Encoding.PEM, [folder / name for name in ("ca.pem", "cert.pem", "key.pem")]
    files[0].write_bytes(made("authority", authority, authority, ca=True).public_bytes(pem))
    files[1].write_bytes(made("this machine", own, authority, ca=False).public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    files[2].write_bytes(own.private_bytes(pem, form, serialization.NoEncryption()))
    return files[0], files[1], files[2]


def test_a_file_of_credentials_needs_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = Bus(url=("nats://127.0.0.1:1",), credentials=tmp_path / "flow.creds")
    check_credentials(Bus(url=("nats://127.0.0.1:1",)))
    monkeypatch.setattr("sinks.bus.client.find_spec", lambda _: None)
    with pytest.raises(BusError, match=r"pip install .marketflow-data.bus,keys"):
        check_credentials(settings)
    with pytest.raises(SettingsError, match=r"pip install .marketflow-data.bus,keys"):
        _live_view(Settings(bus=settings))


def test_without_the_client_library_an_interface_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "api.live.bus", None)
    with pytest.raises(SettingsError, match=r"bus\.url is set, and .* is not installed: make dev"):
        _live_view(Settings(bus=Bus(url=("nats://127.0.0.1:1",))))


async def test_a_flow_may_take_leases_and_a_reader_may_not(guarded: NatsServer) -> None:
    key, stream = subject_of_key("marketflow", "shard.1of1"), bucket_of("marketflow")
    async with connected(as_user("flow", guarded), "test", stream=stream) as client:
        await client.prepare_bucket(as_user("flow", guarded))
        assert await client.publish([Kept(key, "", b"{}")], expected={}) == [1]
        async with aclosing(client.read([subject_of_key("marketflow", ">")], newest_of_each=True)) as entries:
            assert (await anext(entries)).subject == key
    async with connected(as_user("reader", guarded), "test", stream=stream) as client:
        [answer] = await client.publish([Kept(key, "", b"{}")], expected={key: 1})
        assert not isinstance(answer, int)
