import pytest

from flows.command.tables import print_table


def test_a_row_is_a_line_and_controls_are_no_part_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "reason"), [("A", "x" * 150), ("[bold]", "one\n\x1b[31mtwo")])
    assert capsys.readouterr().out.splitlines() == ["name    reason", f"A       {'x' * 150}", "[bold]  one two"]
