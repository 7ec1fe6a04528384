from sources.replay.accounts.listen_keys import LIFE_MS, ListenKeys, is_listen_key


def test_an_account_has_one_key_that_lives_on_by_being_kept() -> None:
    keys = ListenKeys()
    name = keys.open("demo", 0)
    assert is_listen_key(name)
    assert keys.open("demo", 1_000) == name
    assert keys.open("second", 0) not in (name, None)
    assert keys.expire(LIFE_MS - 1) == []
    second = keys.get("second")
    assert keys.expire(LIFE_MS) == [second]
    assert (keys.get("second"), keys.keep("second", LIFE_MS)) == (None, None)
    assert keys.keep("demo", LIFE_MS) == name
    assert keys.expire(2 * LIFE_MS - 1) == []
    assert keys.expire(2 * LIFE_MS) == [name]
    assert not keys
    assert keys.open("demo", 2 * LIFE_MS) != name


def test_a_key_that_is_closed_is_gone() -> None:
    keys = ListenKeys()
    keys.open("demo", 0)
    assert keys.close("demo")
    assert not keys.close("demo")
    assert (keys.get("demo"), keys.expire(LIFE_MS)) == (None, [])


def test_a_shorter_life_ends_keys_that_there_are() -> None:
    keys = ListenKeys()
    name = keys.open("demo", 5_000)
    keys.life_ms = 100
    assert keys.expire(5_099) == []
    assert keys.expire(5_100) == [name]


def test_what_is_no_listen_key() -> None:
    assert not is_listen_key("btcusdt@trade")
    assert not is_listen_key("a" * 63)
    assert not is_listen_key("a" * 64 + "\n")
