import os
import resource
import shutil
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from flows.command.doctor.machine import GB, Port, check_descriptors, check_disk, check_ports


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(("free", "state"), [(GB // 4, "fail"), (2 * GB, "warn"), (50 * GB, "ok")])
def test_space_is_that_of_the_nearest_folder_that_exists(
    free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    [result] = check_disk([tmp_path / "data" / "trades"] * 2)
    assert (result.state, asked, bool(result.remedy)) == (state, [tmp_path], state != "ok")


@pytest.mark.parametrize(
    ("limits", "state"),
    [((256, 512), "fail"), ((1_024, 2_048), "warn"), ((1_024, 65_536), "ok"), ((256, resource.RLIM_INFINITY), "ok")],
)
def test_the_hard_limit_of_open_files_counts(limits: tuple[int, int], state: str) -> None:
    assert check_descriptors(limits).state == state


def test_a_port_of_another_program_is_named_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken, any_port = check_ports([Port("hub.port", port), Port("api.port", 0)])
    assert (taken.check, taken.state) == (f"port {port} (hub.port)", "fail")
    assert f"pid {os.getpid()}" in taken.found
    assert "hub.port" in taken.remedy
    assert (any_port.state, any_port.remedy) == ("ok", "")
    [free] = check_ports([Port("hub.port", port)])
    assert (free.state, free.found) == ("ok", "free")


def test_two_settings_with_one_port_fail() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    first, second = check_ports([Port("hub.port", port), Port("api.port", port)])
    assert (first.state, second.state) == ("ok", "fail")
    assert "hub.port" in second.found
    assert "api.port" in second.remedy
    assert [one.state for one in check_ports([Port("hub.port", 0), Port("api.port", 0)])] == ["ok", "ok"]


def test_a_folder_that_cannot_be_written_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    [result] = check_disk([tmp_path / "file" / "data"])
    assert (result.state, str(tmp_path / "file") in result.found) == ("fail", True)
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)  # root may write everywhere
    [result] = check_disk([tmp_path / "data"])
    assert (result.state, str(tmp_path) in result.found, bool(result.remedy)) == ("fail", True, True)
