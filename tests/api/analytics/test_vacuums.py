from hypothesis import given, settings
from hypothesis import strategies as st

from api.analytics.profile import ProfileRow
from api.analytics.vacuums import THIN, Vacuum, find_vacuums
from flows.model.printed import printed


def rows_of(*volumes: float) -> list[ProfileRow]:
    return [ProfileRow(100.0 + index, 100.5 + index, volume, 0.0, volume, 1) for index, volume in enumerate(volumes)]


def zones(found: list[Vacuum]) -> list[tuple[float, float]]:
    return [(zone.low, zone.high) for zone in found]


def test_thin_rows_between_full_ones_are_a_vacuum() -> None:
    rows = rows_of(10, 12, 11, 1, 2, 10, 11, 12, 10, 12)

    (zone,) = find_vacuums(rows, 102.0, width=2)

    assert (zone.low, zone.high, zone.volume) == (103.0, 104.5, 3.0)
    assert zone.fill == printed(1.5 / 11)
    assert (zone.distance, zone.distance_percent) == (1.0, printed(100 * 1.0 / 102))
    assert (zone.bid_quantity, zone.ask_quantity) == (None, None)


def test_the_nearest_comes_first_and_the_price_may_be_inside() -> None:
    rows = rows_of(9, 9, 1, 9, 9, 9, 2, 9, 9, 9, 0, 9, 9)

    assert zones(find_vacuums(rows, 106.2, width=2)) == [(106.0, 106.5), (102.0, 102.5), (110.0, 110.5)]
    assert find_vacuums(rows, 106.2, width=2)[0].distance == 0.0


def test_the_fringes_are_no_vacuum() -> None:
    assert find_vacuums(rows_of(1, 2, 9, 9, 9, 9, 9, 2, 1), 104.0, width=3) == []


def test_an_even_profile_has_none() -> None:
    assert find_vacuums(rows_of(*[5.0] * 40), 104.0) == []
    assert find_vacuums(rows_of(5), 100.0) == []
    assert find_vacuums([], 100.0) == []


def test_rows_without_any_trade_are_one_zone_however_wide() -> None:
    rows = rows_of(9, 8, *[0.0] * 20, 9, 8)

    (zone,) = find_vacuums(rows, 105.0, width=3)

    assert (zone.low, zone.high, zone.fill) == (102.0, 121.5, 0.0)


def test_a_lower_percentile_finds_the_emptiest_only() -> None:
    rows = rows_of(9, 9, 1, 9, 9, 9, 2, 9, 9, 9, 0, 9, 9)

    assert zones(find_vacuums(rows, 104.0, width=2, percentile=5)) == [(110.0, 110.5)]


def test_what_rests_in_the_zone_stands_beside_it() -> None:
    rows = rows_of(9, 9, 1, 9, 9, 9)
    bids, asks = [(102.3, 2.0), (102.0, 0.5), (101.9, 7.0)], [(102.4, 3.0), (102.5, 1.0), (102.6, 9.0)]

    (zone,) = find_vacuums(rows, 102.35, width=2, bids=bids, asks=asks)

    assert (zone.bid_quantity, zone.ask_quantity) == (2.5, 4.0)


def test_without_levels_across_the_zone_its_quantities_are_unknown() -> None:
    rows = rows_of(9, 9, 1, 9, 9, 9)

    (zone,) = find_vacuums(rows, 102.35, width=2, bids=[(102.3, 2.0)], asks=[(102.4, 3.0), (103.0, 1.0)])

    assert (zone.bid_quantity, zone.ask_quantity) == (None, None)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=80),
    st.integers(1, 8),
    st.integers(1, 50),
    st.floats(90, 200),
)
def test_every_row_of_a_vacuum_is_thin_and_every_thin_row_inside_is_in_one(
    volumes: list[int], width: int, percentile: int, price: float
) -> None:
    rows = rows_of(*volumes)
    relative = [_relative(volumes, index, width) for index in range(len(volumes))]
    limit = _percentile(relative, percentile)
    thin = [share <= limit and share < THIN for share in relative]
    for low_to_high in (range(len(thin)), reversed(range(len(thin)))):  # the fringes
        for index in low_to_high:
            if not thin[index]:
                break
            thin[index] = False

    found = find_vacuums(rows, price, percentile=percentile, width=width)

    inside = [any(zone.low <= row.low <= zone.high for zone in found) for row in rows]
    assert inside == thin
    assert [zone.distance for zone in found] == sorted(zone.distance for zone in found)
    assert all(0 <= zone.fill < float("inf") for zone in found)


def _relative(volumes: list[int], index: int, width: int) -> float:
    """The definition, row by row."""
    size = min(2 * width + 1, len(volumes))
    begin = min(max(index - size // 2, 0), len(volumes) - size)
    mean = sum(volumes[begin : begin + size]) / size
    return volumes[index] / mean if mean else 0.0


def _percentile(values: list[float], percentile: int) -> float:
    ordered = sorted(values)
    whole, rest = divmod(percentile * (len(ordered) - 1), 100)
    if not rest:
        return ordered[whole]
    return ordered[whole] + rest / 100 * (ordered[whole + 1] - ordered[whole])
