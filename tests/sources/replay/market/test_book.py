from sources.replay.market.book import Book, DepthSnapshot, DepthUpdate, decode_update


def book() -> Book:
    bids = [("99.10", "2.000"), ("100.00", "1.000")]
    return Book(DepthSnapshot(10, bids, [("100.50", "3.000"), ("101.00", "1.000")], 5, 4))


def test_levels_are_sorted_by_number_not_by_text() -> None:
    assert book().bids(5) == [("100.00", "1.000"), ("99.10", "2.000")]
    assert book().asks(1) == [("100.50", "3.000")]
    assert (book().best_bid(), book().best_ask()) == (("100.00", "1.000"), ("100.50", "3.000"))


def test_a_diff_sets_and_removes_levels() -> None:
    changed = book()
    changed.apply(DepthUpdate(11, 12, [("100.00", "0.000"), ("98.00", "0.000")], [("100.40", "7.000")], 9, 8))
    assert changed.snapshot(2, "usdm") == {
        "lastUpdateId": 12,
        "E": 9,
        "T": 8,
        "bids": [("99.10", "2.000")],
        "asks": [("100.40", "7.000"), ("100.50", "3.000")],
    }
    assert "E" not in changed.snapshot(2, "spot")


def test_a_diff_that_is_contained_changes_nothing() -> None:
    changed = book()
    changed.apply(DepthUpdate(9, 10, [("100.00", "0.000")], []))
    assert changed.bids(9) == book().bids(9)


def test_the_changes_to_another_book_turn_one_into_it() -> None:
    before, after = book(), Book(DepthSnapshot(20, [("99.10", "2.500"), ("97", "1")], [("101.00", "1.000")]))
    bids, asks = before.changes_to(after)
    before.apply(DepthUpdate(11, 20, bids, asks))
    assert before.snapshot(9, "spot") == after.snapshot(9, "spot")
    assert ("99.10", "2.500") in bids
    assert ("101.00", "1.000") not in asks


def test_empty_sides() -> None:
    empty = Book(DepthSnapshot(1, [], []))
    assert (empty.best_bid(), empty.best_ask()) == (None, None)


def test_the_wire_form() -> None:
    update = decode_update(b'{"e":"depthUpdate","E":3,"T":2,"s":"X","U":4,"u":6,"pu":1,"b":[["1","2"]],"a":[]}')
    assert update == DepthUpdate(4, 6, [("1", "2")], [], 3, 2, 1)
