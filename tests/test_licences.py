"""docs/licences.md lists what the lock installs, with the licences that the packages name."""

import pytest

from tests.licences import PAGE, Pinned, licence, pinned
from tests.marked import current

ROWS = [tuple(cell.strip() for cell in row.split("|")[1:-1]) for row in current(PAGE, "licences").splitlines()[2:]]


def test_every_package_of_the_lock_is_listed() -> None:
    listed = [Pinned(name, tuple(versions.split(", "))) for name, versions, _ in ROWS]
    assert listed == pinned(), "run `make licences`"


@pytest.mark.parametrize(("name", "told"), [(name, told) for name, _, told in ROWS])
def test_the_licence_is_what_the_package_says(name: str, told: str) -> None:
    said = licence(name)
    if said is None:
        pytest.skip("not installed on this platform")
    assert told == said, "run `make licences`"
