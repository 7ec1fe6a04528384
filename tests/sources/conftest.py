"""What several tests of sources share."""

import pytest

NOW_S = 1_800_000_000


@pytest.fixture
def stopped_clock_s(monkeypatch: pytest.MonkeyPatch) -> int:
    """Stops the clock by which the replay exchange counts weight; otherwise a minute may end in the midst of a test.

    Returns its time, s.
    """
    monkeypatch.setattr("sources.replay.exchange.rest_server.wall_ms", lambda: NOW_S * 1_000)
    return NOW_S
