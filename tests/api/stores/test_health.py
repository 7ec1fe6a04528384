from api.stores.health import Dependency, Watch


def test_it_remembers_since_when_and_why() -> None:
    now = [1_000]
    watch = Watch("mongodb", now_ms=lambda: now[0])
    assert watch.state == Dependency("mongodb", up=False, since_ms=1_000, reason="not tried yet")
    now[0] = 2_000
    watch.report(up=False, reason="refused")
    assert watch.state == Dependency("mongodb", up=False, since_ms=1_000, reason="refused")
    watch.report(up=True)
    assert watch.state == Dependency("mongodb", up=True, since_ms=2_000)
    now[0] = 3_000
    watch.report(up=True)
    assert watch.state.since_ms == 2_000


def test_it_counts_how_often_something_went_down() -> None:
    watch = Watch("mongodb")
    for up in (False, True, False, False, True, False):
        watch.report(up=up)
    assert watch.failures == 2
