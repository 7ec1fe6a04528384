import subprocess
import sys

import pytest

from tests.fakes.deployment import ROOT

ADOPTS = """
import ctypes, os, subprocess, sys
from flows.supervision.orphans import bury_orphans
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans below come here, as they come to the first process
subprocess.run([sys.executable, "-c", "import os; os.fork() or os._exit(0)"], check=True)
buried = 0
while not buried:
    buried = bury_orphans([])
own = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT)
print(buried, bury_orphans([own.pid]), own.wait(), bury_orphans([]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
def test_an_orphan_is_buried_and_an_end_of_our_own_is_left_to_its_owner() -> None:
    ran = subprocess.run([sys.executable, "-c", ADOPTS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", "0", "7", "0"]
