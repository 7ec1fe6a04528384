import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")

CHILD = """
import resource
from flows.process.descriptors import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))
print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
print(raise_descriptor_limit())
"""


@pytest.mark.e2e
@pytest.mark.parametrize("hard", [256, 2_000])
def test_the_soft_limit_becomes_the_hard_one(hard: int) -> None:
    child = subprocess.run([sys.executable, "-c", CHILD.format(hard=hard)], check=True, capture_output=True, text=True)
    assert child.stdout.split() == [str(hard)] * 4
