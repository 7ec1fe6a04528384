from flows.texts import counted


def test_one_has_the_singular_and_all_others_the_plural() -> None:
    assert [counted(number, "trade") for number in (0, 1, 2, 12_500)] == [
        "0 trades",
        "1 trade",
        "2 trades",
        "12,500 trades",
    ]
    assert (counted(1, "entry", "entries"), counted(2, "entry", "entries")) == ("1 entry", "2 entries")
