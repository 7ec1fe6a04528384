import gzip
import zlib
from decimal import Decimal
from random import Random

import pytest

from sources.replay.market.book import Book, DepthSnapshot, DepthUpdate, Level
from sources.replay.venues.kraken.books import BookView, Change, checksum
from tests.fakes.recordings import recording
from tests.fakes.shapes import parse

ASKS = (
    "45285.2 0.00100000; 45286.4 1.54571953; 45286.6 1.54571109; 45289.6 1.54560911; 45290.2 0.15890660; "
    "45291.8 1.54553491; 45294.7 0.04454749; 45296.1 0.35380000; 45297.5 0.09945542; 45299.5 0.18772827"
)
BIDS = (
    "45283.5 0.10000000; 45283.4 1.54582015; 45282.1 0.10000000; 45281.0 0.10000000; 45280.3 1.54592586; "
    "45279.0 0.07990000; 45277.6 0.03310103; 45277.5 0.30000000; 45277.3 1.54602737; 45276.6 0.15445238"
)


def levels(text: str) -> list[Level]:
    return [(price, quantity) for price, quantity in (level.split() for level in text.split("; "))]


def test_the_checksum_is_the_one_of_krakens_guide() -> None:
    assert checksum(levels(ASKS), levels(BIDS)) == 3_310_070_434


class Client:
    """Keeps a book as Kraken's guide says, from messages alone, and computes the checksum by itself."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.bids: dict[Decimal, str] = {}
        self.asks: dict[Decimal, str] = {}

    def apply(self, bids: list[Level], asks: list[Level]) -> None:
        for side, changes, is_bid in ((self.bids, bids, True), (self.asks, asks, False)):
            for price, quantity in changes:
                if Decimal(quantity):
                    side[Decimal(price)] = quantity
                else:
                    del side[Decimal(price)]
            for beyond in sorted(side, reverse=is_bid)[self.depth :]:
                del side[beyond]

    def checksum(self, decimals: int) -> int:
        text = ""
        for side, is_bid in ((self.asks, False), (self.bids, True)):
            for price in sorted(side, reverse=is_bid)[:10]:
                text += str(int(price.scaleb(decimals))) + str(int(Decimal(side[price]).scaleb(8)))
        return zlib.crc32(text.encode())


@pytest.mark.parametrize("depth", [10, 25])
def test_a_client_that_cuts_its_book_off_has_the_levels_and_the_checksum_after_each_change(depth: int) -> None:
    random = Random(depth)
    begin = {True: range(400, 460), False: range(461, 520)}
    bids, asks = ([(f"{tick / 10:.1f}", "1.00000000") for tick in begin[bid]] for bid in (True, False))
    book = Book(DepthSnapshot(0, bids, asks))
    view, client = BookView(book, depth), Client(depth)
    first = view.snapshot()
    client.apply(first.bids, first.asks)
    seen = [first.checksum == client.checksum(1)]
    pushed_out = 0
    for update_id in range(1, 400):
        changes: dict[bool, list[Level]] = {True: [], False: []}
        for _ in range(random.randrange(1, 5)):
            bid = random.random() < 0.5
            tick = random.choice(begin[bid])
            quantity = "0.00000000" if random.random() < 0.45 else f"{random.randrange(1, 10**9) / 10**8:.8f}"
            changes[bid].append((f"{tick / 10:.1f}", quantity))
        book.apply(DepthUpdate(update_id, update_id, changes[True], changes[False]))
        change = view.follow(book)
        if change is None:
            continue
        before = len(client.bids)
        client.apply(change.bids, change.asks)
        pushed_out += len(client.bids) == before == depth and any(Decimal(level[1]) for level in change.bids)
        assert sorted(client.bids, reverse=True) == [Decimal(price) for price, _ in book.bids(depth)]
        assert sorted(client.asks) == [Decimal(price) for price, _ in book.asks(depth)]
        seen.append(change.checksum == client.checksum(1))
    assert all(seen)
    assert len(seen) > 100
    assert pushed_out > 10


def test_nothing_is_sent_for_a_level_beyond_the_depth() -> None:
    book = Book(DepthSnapshot(0, [(f"{tick}.0", "1.00000000") for tick in range(100, 120)], [("200.0", "1.00000000")]))
    view = BookView(book, 10)
    book.apply(DepthUpdate(1, 1, [("105.0", "2.00000000")], []))
    assert view.follow(book) is None
    book.apply(DepthUpdate(2, 2, [("119.0", "0.00000000")], []))
    change = view.follow(book)
    assert change is not None
    # The level that comes back into the depth follows the removal.
    assert change.bids == [("119.0", "0.00000000"), ("109.0", "1.00000000")]
    assert change == Change(change.bids, [], change.checksum)


def test_the_checksum_of_recorded_books_is_the_exchanges_own() -> None:
    proven = 0
    books: dict[str, Client] = {}
    with gzip.open(recording("kraken-v2-2026-07-07") / "live-btc-eth.ndjson.gz") as lines:
        for line in lines:
            message = parse(line)
            if message.get("channel") != "book":
                continue
            (row,) = message["data"]
            symbol = row["symbol"]
            client = books.setdefault(symbol, Client(10))
            sides = [[(str(level["price"]), f"{level['qty']:.8f}") for level in row[side]] for side in ("bids", "asks")]
            client.apply(*sides)
            price = {"BTC/USD": "{:.1f}", "ETH/USD": "{:.2f}"}[symbol]
            best = [
                [(price.format(level), side[level]) for level in sorted(side, reverse=is_bid)[:10]]
                for side, is_bid in ((client.asks, False), (client.bids, True))
            ]
            assert checksum(*best) == row["checksum"]
            proven += 1
    assert proven == 2_962
