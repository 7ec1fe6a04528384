"""Exit codes for the supervisor."""

import pytest

from flows.process.exit_codes import CANNOT_RUN, refuse_to_run


def test_a_refusal_has_its_reason_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        refuse_to_run(ValueError("hub.port: taken"))
    assert ended.value.code == CANNOT_RUN
    assert capsys.readouterr().err == "marketflow: hub.port: taken\n"
