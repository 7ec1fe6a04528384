"""Exit codes for the supervisor."""

import pytest

from flows.process.disk import DiskFullError
from flows.process.exit_codes import CANNOT_RUN, TRY_AGAIN, refuse_to_run


def test_a_refusal_has_its_reason_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        refuse_to_run(ValueError("hub.port: taken"))
    assert ended.value.code == CANNOT_RUN
    assert capsys.readouterr().err == "marketflow: hub.port: taken\n"


def test_a_full_disk_is_no_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        refuse_to_run(DiskFullError("the disk of data is full: make room"))
    assert ended.value.code == TRY_AGAIN
    assert capsys.readouterr().err == "marketflow: the disk of data is full: make room\n"
