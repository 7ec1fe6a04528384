"""Files of credentials against a server in operator mode: who publishes, who reads, and accounts that are apart."""

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from flows.settings import Bus
from sinks.bus.client import check_credentials, connected
from sinks.bus.credentials import parse_seed
from sinks.bus.entry import Kept
from sinks.bus.stored import BusError
from tests.fakes.nats import NatsServer, bus, needs_nats, running_nats
from tests.fakes.nats_keys import Key, Operator, credentials
from tests.sinks.bus.test_client import documented_permissions

pytestmark = needs_nats

KEY = "mf.binance.BTCUSDT.Trade"


def rights_of(name: str) -> dict[str, list[str]]:
    """The documented permissions of a user."""
    text = documented_permissions()[name]
    parts = text.replace("\n", " ").split("subscribe:")
    return {kind: part.split('"')[1::2] for kind, part in zip(("publish", "subscribe"), parts, strict=True)}


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    made = Operator()
    for name in ("system", "markets", "others"):
        made.account(name)
    made.user(tmp_path / "flow.creds", "markets", **rights_of("flow"))
    made.user(tmp_path / "reader.creds", "markets", **rights_of("reader"))
    made.user(tmp_path / "other.creds", "others", publish=[">"], subscribe=[">"])
    return made


@pytest.fixture
def server(tmp_path: Path, operator: Operator) -> Iterator[NatsServer]:
    with running_nats(tmp_path, config=operator.config()) as server:
        yield server


async def test_each_does_what_its_credentials_permit(server: NatsServer, tmp_path: Path) -> None:
    def of(name: str) -> Bus:
        return bus(server, credentials=tmp_path / f"{name}.creds")

    async with connected(of("flow"), "test") as client:
        await client.prepare(of("flow"))
        assert await client.publish([Kept(KEY, "", b"{}"), Kept("mf-account.binance.x.Balance", "", b"{}")]) == [1, 2]
    async with connected(of("reader"), "test") as client:
        async with aclosing(client.read(["mf.binance.>"])) as messages:
            assert (await anext(messages)).subject == KEY
        [answer] = await client.publish([Kept(KEY, "", b"{}")])
        assert not isinstance(answer, int)
    async with connected(of("reader"), "test") as client:
        with pytest.raises(BusError):
            async with aclosing(client.read(["mf-account.binance.>"])) as messages:
                await anext(messages)
    async with connected(of("other"), "test") as client:  # another account has streams of its own
        with pytest.raises(BusError, match="there is no stream"):
            await client.span()


async def test_who_is_of_another_operator_is_refused(server: NatsServer, tmp_path: Path) -> None:
    stranger = Operator().user(tmp_path / "stranger.creds", "markets", publish=[">"], subscribe=[">"])
    with pytest.raises(BusError, match="Authorization Violation"):
        async with connected(bus(server, credentials=stranger), "test"):
            pass


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no NATS USER JWT"),
        ("-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n", "no NATS USER JWT with USER NKEY SEED"),
    ],
)
def test_a_file_that_is_none_is_named_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "wrong.creds"
    with pytest.raises(BusError, match=r"wrong\.creds cannot be used: No such file"):
        check_credentials(Bus(credentials=file))
    file.write_text(text)
    with pytest.raises(BusError, match=reason):
        check_credentials(Bus(credentials=file))


def test_a_seed_of_another_kind_or_with_an_error_is_none(tmp_path: Path) -> None:
    user, account = Key("user"), Key("account")
    assert user.seed.startswith("SU")
    assert parse_seed(user.seed) == user._private.private_bytes_raw()
    for text, reason in (
        (account.seed, "no seed of a user's key"),
        (user.public, "no seed of a key"),
        (f"{user.seed[:20]}{'A' if user.seed[20] != 'A' else 'B'}{user.seed[21:]}", "checksum"),
        ("!", "no base32"),
    ):
        with pytest.raises(ValueError, match=reason):
            parse_seed(text)
    file = credentials(tmp_path / "account.creds", "x", account)
    with pytest.raises(BusError, match="no seed of a user's key"):
        check_credentials(Bus(credentials=file))
