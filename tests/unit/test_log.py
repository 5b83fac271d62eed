"""Log lines: where they go, what is hidden, what a full disk costs."""

import io
import json
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import log

pytestmark = pytest.mark.unit

EVENT: dict[str, Any] = {"event": "stage restarted", "stage": "capture", "after_s": 0.4, "level": "info"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_lines_where_nobody_looks() -> None:
    stream = io.StringIO()
    log.StreamOutlet(stream, ()).write({**EVENT, "timestamp": "2026-01-01T12:00:00.123456Z", "path": Path("x")})
    line = stream.getvalue()
    assert list(json.loads(line)) == ["timestamp", "level", "event", "stage", "after_s", "path"]


def test_readable_on_a_terminal() -> None:
    stream = Terminal()
    log.StreamOutlet(stream, ()).write({**EVENT, "timestamp": "2026-01-01T12:00:00.123456Z"})
    assert "12:00:00.123" in stream.getvalue()
    assert "stage restarted" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    secrets = log.secrets_in({"GOOGLE_API_KEY": "AIza-very-secret", "A_KEY": "1", "HOME": "/home/somebody"})
    log.StreamOutlet(stream, secrets).write({"event": "bad key AIza-very-secret in /home/somebody/1"})
    assert json.loads(stream.getvalue())["event"] == "bad key *** in /home/somebody/1"


def test_a_closed_stream_costs_the_line_only() -> None:
    stream = io.StringIO()
    outlet = log.StreamOutlet(stream, ())
    stream.close()
    outlet.write(dict(EVENT))
    assert outlet.lost == 1


def test_a_file_has_a_cap_and_one_older_self(tmp_path: Path) -> None:
    path = tmp_path / "log"
    outlet = log.FileOutlet(path, 0.01, ())
    for number in range(1000):
        outlet.write({**EVENT, "number": number})
    files = sorted(tmp_path.iterdir())
    assert files == [path, tmp_path / "log.1"]
    assert all(file.stat().st_size <= 10_000 for file in files)
    numbers = [json.loads(line)["number"] for file in reversed(files) for line in file.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 1000))


def test_a_full_disk_costs_lines_only() -> None:
    outlet = log.FileOutlet(Path("/dev/full"), 5, ())
    for _ in range(3):
        outlet.write(dict(EVENT))
    assert outlet.lost == 3


def test_lost_lines_are_named_once_there_is_room(tmp_path: Path) -> None:
    outlet = log.FileOutlet(tmp_path / "absent" / "log", 5, ())
    outlet.write(dict(EVENT))
    outlet.write(dict(EVENT))
    (tmp_path / "absent").mkdir()
    outlet.write(dict(EVENT))
    lines = [json.loads(line) for line in (tmp_path / "absent" / "log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["log lines lost", "stage restarted"]
    assert lines[0]["lines"] == 2


def test_a_reader_that_stopped_reading_holds_nobody() -> None:
    go_on = threading.Event()
    written: list[MutableMapping[str, Any]] = []

    class Stuck:
        def write(self, event: MutableMapping[str, Any]) -> None:
            go_on.wait(10)
            written.append(event)

    queued = log.Queued([Stuck()])
    for number in range(log.QUEUE_LINES + 500):
        queued.write({"event": "x", "number": number})
    assert 498 <= queued.lost <= 500
    go_on.set()
    queued.flush()
    queued.write({"event": "after"})
    queued.flush()
    assert [event["event"] for event in written[-2:]] == ["log lines lost", "after"]


def test_a_stage_writes_json_with_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    import structlog

    try:
        logger = log.for_stage("info", stage="capture", inst=7)
        logger.debug("not said")
        try:
            raise ValueError("why")
        except ValueError:
            logger.exception("stage crashed")
    finally:
        structlog.reset_defaults()
    line = json.loads(capfd.readouterr().err)
    assert (line["stage"], line["inst"], line["level"], line["event"]) == ("capture", 7, "error", "stage crashed")
    assert "ValueError: why" in line["exception"]


def test_a_log_file_that_cannot_be_written_is_named_with_a_remedy(tmp_path: Path) -> None:
    assert log.unfit(tmp_path / "logs" / "kiosk.log") == ""
    assert (tmp_path / "logs").is_dir()
    (tmp_path / "plain").touch()
    assert "may write" in log.unfit(tmp_path / "plain" / "kiosk.log")
