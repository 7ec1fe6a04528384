"""An account on a tape: what is recorded of each venue is what the exchange has, and nothing that identifies it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.clock import monotonic_ms
from flows.model.account import AccountEvent, AccountReport, AccountSnapshot, AccountUpdate
from flows.operators.account.holdings import Holdings
from flows.settings import Accounts
from sources.connection.transport import transport_of
from sources.record import TapeWriter
from sources.recorded_account import RecordedAccount, line_of
from sources.replay.tape.recordings import read_lines
from sources.replay.tape.whole_lines import whole_lines
from sources.replay.venues.coinbase.dialect import taped_coinbase
from sources.replay.venues.kraken.dialect import taped_kraken
from tests.fakes.operated_account import DEMO_KEYS, PEERS, Held, OperatedAccount, Peer
from tests.fakes.served_account import served_account

BEGIN_MS = 1_767_225_600_000
PATIENCE_S = 120
KINDS: dict[str, type[AccountReport]] = {kind.__name__: kind for kind in (AccountSnapshot, AccountUpdate, AccountEvent)}


def report_of(line: bytes) -> AccountReport:
    found = msgspec.json.decode(line)
    assert found.keys() == {"account", "report"}
    report: AccountReport = msgspec.convert(found["report"], KINDS[found["account"]])
    return report


class Recorded:
    """What the lines of a tape say that the account holds."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._holdings = Holdings()
        self._changed = asyncio.Event()

    def write(self, line: bytes) -> None:
        self.lines.append(line)
        match report_of(line):
            case AccountUpdate() as update:
                self._holdings.update(update, monotonic_ms())
            case AccountSnapshot() as snapshot:
                self._holdings.compare(snapshot, monotonic_ms())
        self._changed.set()

    @property
    def held(self) -> Held:
        balances = {asset: known.value for asset, known in self._holdings.balances.items.items() if any(known.value)}
        positions: dict[tuple[str, str], Decimal] = {}
        for where in self._holdings.open_positions():
            one = self._holdings.position(where)
            side = where[1] if where[1] != "BOTH" else "LONG" if one.quantity > 0 else "SHORT"
            positions[where[0], side] = abs(one.quantity)
        return balances, positions

    async def until(self, held: Held) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.held != held:
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def recording(peer: Peer) -> AsyncIterator[tuple[OperatedAccount, Recorded]]:
    async with served_account(peer, label="mylabel") as one:
        recorded = Recorded()
        recorder = RecordedAccount(
            one.feed, "mylabel", settings=one.settings, rules=Accounts(), open_socket=transport_of("websockets"),
            write=recorded.write,
        )  # fmt: skip
        task = asyncio.create_task(recorder.run())
        try:
            yield one.account, recorded
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("peer", PEERS)
async def test_the_lines_are_what_the_exchange_has_and_nothing_that_names_the_account(peer: Peer) -> None:
    async with recording(peer) as (account, recorded):
        await recorded.until(await account.held())
        for _ in range(2):
            await account.move()
            await recorded.until(await account.held())
        text = b"\n".join(recorded.lines)
        secret = DEMO_KEYS[peer].secret.splitlines()[-2 if peer == "coinbase" else 0]
        own = [DEMO_KEYS[peer].name, secret, "mylabel", "demo", "replay-", "order", "ledger", "uuid", "portfolio"]
        if peer == "binance-usdm":
            own.append(await account.stream())
        assert [one for one in own if one.encode() in text] == []
        assert b"AccountSnapshot" in text


def test_texts_of_the_venue_are_left_out() -> None:
    line = line_of(AccountEvent("refused", "the venue says: key x3 of user 17 is wrong", 5))
    assert line == b'{"account":"AccountEvent","report":{"kind":"refused","reason":"","time":5}}'


def frames_of(peer: Peer, symbol: str) -> list[dict[str, Any]]:
    """A trade, as the venue sends it."""
    time = "2026-01-01T00:00:01.000000Z"
    match peer:
        case "kraken":
            trade = {"symbol": symbol, "side": "buy", "price": 9.5, "qty": 1.5, "ord_type": "market", "trade_id": 7}
            return [{"channel": "trade", "type": "update", "data": [trade | {"timestamp": time}]}]
        case "coinbase":
            trade = {"type": "match", "trade_id": 7, "side": "sell", "size": "1.5", "price": "9.50"}
            return [trade | {"product_id": symbol, "sequence": 9, "time": time}]
        case _:
            data = {"e": "trade", "E": BEGIN_MS, "s": symbol, "t": 7, "p": "9.5", "q": "1.5", "T": BEGIN_MS, "m": True}
            return [{"stream": f"{symbol.lower()}@trade", "data": data | {"X": "MARKET"}}]


@pytest.mark.parametrize("peer", PEERS)
def test_a_replay_passes_over_the_lines(peer: Peer, tmp_path: Path) -> None:
    """Of the two tapes, one with an account, the same is played."""
    symbol = {"kraken": "BTC/USD", "coinbase": "BTC-USD"}.get(peer, "BTCUSDT")
    with_account, without = tmp_path / "with.tape.zst", tmp_path / "without.tape.zst"
    for path in (with_account, without):
        tape = TapeWriter(path, venue=peer, symbols=(symbol,))
        for frame in frames_of(peer, symbol):
            if path is with_account:
                tape.write_own(line_of(AccountEvent("opened")), 1)
                tape.write_own(line_of(AccountSnapshot(BEGIN_MS)), 2)
            tape.write(msgspec.json.encode(frame), 3)
        tape.close()
    assert b"AccountSnapshot" in b"".join(whole_lines(with_account))
    if peer in ("kraken", "coinbase"):
        load = taped_kraken if peer == "kraken" else taped_coinbase
        one, other = (list(load([path]).market.play(lambda _: True)) for path in (with_account, without))
        assert [message.data for message in one] == [message.data for message in other] != []
    else:
        kind = "spot" if peer == "binance" else "usdm"
        assert list(read_lines(with_account, kind)) == list(read_lines(without, kind)) != []  # type: ignore[arg-type]
