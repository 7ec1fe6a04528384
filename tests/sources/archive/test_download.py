import random
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from sources.archive.csv_reader import ArchiveError
from sources.archive.download import Reply, RetryPolicy, discard, download, is_retryable, reply_of, retry_after_s
from tests.fakes.broken_archive import BrokenArchive, Harm, served

CONTENT = random.Random(3).randbytes(300_000)
OTHER = random.Random(4).randbytes(310_000)
QUICK = RetryPolicy(tries=4, first_s=0.001)
NOW = datetime(2024, 10, 27, tzinfo=UTC)


def fetched(archive: BrokenArchive, partial: Path, *, policy: RetryPolicy = QUICK) -> bool:
    with served(archive) as url:
        return download(f"{url}/file.zip", partial, policy=policy)


# --- breaks ---


def test_only_the_rest_is_asked_for_behind_each_break(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT)
    archive.harms = [Harm(cut_after=100_000), Harm(cut_after=70_000), Harm(status=503), Harm(cut_after=0)]
    result: list[tuple[int, int]] = []
    with served(archive) as url:
        assert download(url, tmp_path / "a", policy=QUICK, on_bytes=lambda done, all_: result.append((done, all_)))
    assert (tmp_path / "a").read_bytes() == CONTENT
    etag = archive.etag()
    assert archive.asked == [
        ("", ""), ("bytes=100000-", etag), ("bytes=170000-", etag), ("bytes=170000-", etag), ("bytes=170000-", etag),
    ]  # fmt: skip
    assert archive.sent == len(CONTENT)
    assert [result[0][1], result[-1]] == [300_000, (300_000, 300_000)]
    assert sorted(result) == result


def test_a_server_without_ranges_sends_all_of_it_again(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT)
    archive.knows_ranges = False
    archive.harms = [Harm(cut_after=100_000)]
    assert fetched(archive, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert archive.sent == 400_000


@pytest.mark.parametrize("knows_if_range", [True, False])
def test_a_file_that_changes_between_two_parts_is_begun_anew(tmp_path: Path, *, knows_if_range: bool) -> None:
    archive = BrokenArchive(CONTENT)
    archive.knows_if_range = knows_if_range
    archive.harms = [Harm(cut_after=100_000, new_content=OTHER)]
    assert fetched(archive, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == OTHER


def test_what_an_earlier_run_left_is_gone_on_with(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT)
    archive.harms = [Harm(cut_after=100_000), Harm(status=404)]
    with pytest.raises(ArchiveError, match="cannot be had"):
        fetched(archive, tmp_path / "a", policy=RetryPolicy(tries=1))
    assert (tmp_path / "a").read_bytes() == CONTENT[:100_000]
    archive.harms = []
    assert fetched(archive, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert archive.asked[1:] == [("bytes=100000-", archive.etag())]
    assert fetched(archive, tmp_path / "a")  # whole, and killed before it got its name
    assert ((tmp_path / "a").read_bytes(), archive.sent) == (CONTENT, 300_000)


def test_a_rest_that_is_longer_than_the_file_is_begun_anew(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT)
    (tmp_path / "a").write_bytes(OTHER)
    assert fetched(archive, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    discard(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


# --- when it ends ---


def test_a_file_that_is_not_there_is_asked_for_once_and_its_part_goes(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT)
    archive.harms = [Harm(cut_after=100_000), Harm(status=404)]
    assert not fetched(archive, tmp_path / "a")
    assert len(archive.asked) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("harm", "questions", "reason"),
    [
        (Harm(status=403), 1, r"403 Forbidden$"),
        (Harm(status=500), 4, r"500 Internal Server Error$"),
        (Harm(status=429, headers={"Retry-After": "0"}), 4, r"429 Too Many Requests$"),
        (Harm(status=429, headers={"Retry-After": "3600"}), 1, r"allows no request for 3600 s$"),
        (Harm(status=204), 4, r"status 204 holds no file$"),
        (Harm(cut_after=0), 4, r"cannot be had"),
    ],
)
def test_only_what_can_get_better_is_tried_again(tmp_path: Path, harm: Harm, questions: int, reason: str) -> None:
    archive = BrokenArchive(CONTENT)
    archive.harms = [harm] * 10
    with pytest.raises(ArchiveError, match=reason):
        fetched(archive, tmp_path / "a")
    assert len(archive.asked) == questions


def test_tries_are_counted_from_the_last_that_brought_something_new(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT)
    archive.harms = [Harm(cut_after=20_000), Harm(status=502), Harm(status=502)] * 5
    assert fetched(archive, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    archive.harms = [Harm(cut_after=20_000)] * 10
    archive.knows_ranges = False
    (tmp_path / "a").unlink()
    with pytest.raises(ArchiveError):  # the same 20,000 bytes again and again
        fetched(archive, tmp_path / "a")
    assert len(archive.harms) == 6


def test_a_server_that_says_nothing_any_more_is_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(ArchiveError, match="timed out"):
        download(
            f"http://127.0.0.1:{mute.getsockname()[1]}/x",
            tmp_path / "a",
            policy=RetryPolicy(tries=2, first_s=0.001, silence_s=0.05),
        )


# --- how long it waits, what it reads ---


def test_the_pause_grows_to_its_bound_and_is_the_one_that_is_asked_for() -> None:
    policy = RetryPolicy(tries=9, first_s=1, most_s=60)
    assert [policy.pause_s(failed, 0) for failed in range(1, 10)] == [1, 2, 4, 8, 16, 32, 60, 60, None]
    assert [policy.pause_s(1, asked) for asked in (0.5, 20, 60, 61)] == [1, 20, 60, None]


def refused(status: int, **headers: str) -> httpx.HTTPStatusError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx.Response(status, headers=named, request=httpx.Request("GET", "http://x"))
    return httpx.HTTPStatusError("", request=response.request, response=response)


def test_a_pause_is_asked_for_in_seconds_or_by_a_date() -> None:
    later = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    earlier = format_datetime(NOW - timedelta(seconds=90), usegmt=True)
    result = [retry_after_s(refused(429, retry_after=text), NOW) for text in ("7", later, earlier, "soon", "-1", "")]
    assert result == [7, 90, 0, 0, 0, 0]
    assert retry_after_s(httpx.ReadError("cut"), NOW) == 0


@pytest.mark.parametrize(
    ("error", "can"),
    [
        (refused(408), True), (refused(425), True), (refused(429), True), (refused(500), True), (refused(503), True),
        (refused(400), False), (refused(401), False), (refused(403), False), (refused(410), False),
        (httpx.ConnectError(""), True), (httpx.ReadTimeout(""), True), (httpx.RemoteProtocolError(""), True),
        (httpx.UnsupportedProtocol(""), False), (httpx.TooManyRedirects(""), False),
    ],
)  # fmt: skip
def test_what_can_get_better(error: httpx.HTTPError, *, can: bool) -> None:
    assert is_retryable(error) is can


@pytest.mark.parametrize(
    ("status", "headers", "reply"),
    [
        (200, {"Content-Length": "7", "ETag": '"a"'}, Reply(0, 7, '"a"')),
        (200, {"ETag": 'W/"a"', "Last-Modified": "Sun"}, Reply(0, 0, "Sun")),
        (206, {"Content-Range": "bytes 5-9/10"}, Reply(5, 10, "")),
        (206, {"Content-Range": "bytes 5-9/*"}, Reply(5, 0, "")),
        (206, {"Content-Range": "bytes of some kind"}, Reply(-1, 0, "")),
        (206, {}, Reply(-1, 0, "")),
        (416, {"Content-Range": "bytes */10"}, Reply(-1, 10, "")),
    ],
)
def test_what_the_head_of_an_answer_says(status: int, headers: dict[str, str], reply: Reply) -> None:
    assert reply_of(httpx.Response(status, headers=headers)) == reply
