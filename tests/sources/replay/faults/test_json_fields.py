from hypothesis import given
from hypothesis import strategies as st

from sources.replay.faults.json_fields import changed, changed_all, value_at

BODY = b'{"e":"x","p":"93120.51000000","k":{"t":1,"T":2},"b":[["1.0","2.0"],["3.0","4.0"]],"p2":1e400}'


def test_one_value_changes_and_every_other_byte_stays() -> None:
    assert changed(BODY, "p", lambda _: b"null") == BODY.replace(b'"93120.51000000"', b"null")
    assert changed(BODY, "k.T", lambda old: old + b"0") == BODY.replace(b'"T":2', b'"T":20')
    assert changed(BODY, "b.1.0", lambda _: b"\xff") == BODY.replace(b'"3.0"', b"\xff")
    assert changed(BODY, "b.*.0", lambda _: b"0") == BODY.replace(b'"1.0"', b"0").replace(b'"3.0"', b"0")


def test_what_is_not_there_or_is_left_alone_is_none() -> None:
    for path in ("q", "k.x", "b.2.0", "b.x", "p.0", "e.x.y", ""):
        assert changed(BODY, path, lambda _: b"0") is None, path
    assert changed(BODY, "p", lambda _: None) is None
    assert changed(b"no json", "p", lambda _: b"0") is None
    assert changed(b"[" * 100_000, "0.0", lambda _: b"0") is None


def test_several_paths_are_changed_where_they_are() -> None:
    assert changed_all(BODY, ("k.t", "q", "k.T"), lambda _: b"9") == BODY.replace(b"1,", b"9,", 1).replace(
        b'"T":2', b'"T":9'
    )
    assert changed_all(BODY, ("q",), lambda _: b"9") is None
    assert value_at(BODY, "b.1.1") == b'"4.0"'
    assert value_at(BODY, "b.1.2") is None


@given(st.binary(max_size=40), st.text(max_size=10))
def test_no_text_and_no_path_makes_it_raise(body: bytes, path: str) -> None:
    changed(body, path, lambda _: b"0")
