import pytest

from sources.replay.tape.rewrite import Offsets, Recorded

MOVE = Offsets(time_ms=1_000, trade_id=10, aggregate_id=20, update_id=30)


@pytest.mark.parametrize(
    ("channel", "before", "after"),
    [
        (
            "trade",
            b'{"e":"trade","E":5,"s":"X","t":7,"p":"1","q":"2","b":8,"a":9,"T":4,"m":true}',
            b'{"e":"trade","E":1005,"s":"X","t":17,"p":"1","q":"2","b":8,"a":9,"T":1004,"m":true}',
        ),
        ("trade", b'{"E":1741046401271969,"t":7}', b'{"E":1741046402271969,"t":17}'),
        ("aggTrade", b'{"E":5,"a":7,"f":1,"l":2,"T":4}', b'{"E":1005,"a":27,"f":11,"l":12,"T":1004}'),
        (
            "depth@100ms",
            b'{"E":5,"T":4,"U":1,"u":2,"pu":0,"b":[["1","2"]]}',
            b'{"E":1005,"T":1004,"U":31,"u":32,"pu":30,"b":[["1","2"]]}',
        ),
        ("depth20", b'{"lastUpdateId":5,"bids":[]}', b'{"lastUpdateId":35,"bids":[]}'),
        (
            "bookTicker",
            b'{"u":5,"s":"X","b":"1","B":"2","a":"3","A":"4"}',
            b'{"u":35,"s":"X","b":"1","B":"2","a":"3","A":"4"}',
        ),
        (
            "kline_1m",
            b'{"E":5,"k":{"t":0,"T":9,"f":-1,"L":3,"o":"1"}}',
            b'{"E":1005,"k":{"t":1000,"T":1009,"f":-1,"L":13,"o":"1"}}',
        ),
        ("ticker", b'{"E":5,"C":4,"O":3,"F":2,"L":1,"n":1}', b'{"E":1005,"C":1004,"O":1003,"F":12,"L":11,"n":1}'),
        ("forceOrder", b'{"E":5,"T":4}', b'{"E":5,"T":4}'),
    ],
)
def test_times_and_ids_move_and_nothing_else(channel: str, before: bytes, after: bytes) -> None:
    assert Recorded([before], channel, MOVE)[0] == after
    assert Recorded([before], channel, Offsets())[0] is before
