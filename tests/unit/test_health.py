"""The machine's health over HTTP, as a monitor, Prometheus and a dead man's switch see it."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pipeline.config.options import OptionError
from pipeline.stages.health import Health
from pipeline.testing import Trial

pytestmark = pytest.mark.unit


def port() -> int:
    """One that nobody has just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def serving(**options: Any) -> Iterator[tuple[Trial, Callable[..., tuple[int, str]]]]:
    """A health stage, and how to ask it."""
    number = port()
    with Trial(Health, listen=f"127.0.0.1:{number}", **options) as trial:

        def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
            request = urllib.request.Request(f"http://127.0.0.1:{number}{path}", method=method, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        yield trial, ask


def test_red_when_deaf_green_when_well() -> None:
    with serving() as (trial, ask):
        assert ask("/healthz")[0] == 200
        trial.event("verdict", src="supervisor", code="deaf", words="deaf: no trace", remedy="switch it on", for_s=3.0)
        status, line = ask("/healthz")
        assert status == 503
        assert line.startswith("deaf: no trace, for ")
        assert line.endswith("; switch it on\n")
        trial.event("verdict", src="somebody", code="ok", words="ok", remedy="")
        assert ask("/healthz")[0] == 503, "only the supervisor judges"
        trial.event("verdict", src="supervisor", code="ok", words="ok", remedy="", for_s=0.0)
        assert ask("/healthz")[0] == 200
        assert json.loads(ask("/healthz.json")[1])["code"] == "ok"
        assert ask("/nothing")[0] == 404


def test_how_long_and_since_when_is_counted_on() -> None:
    with serving() as (trial, ask):
        trial.event("verdict", src="supervisor", code="muted", words="muted", remedy="", for_s=3.0, answered_s=60.5)
        trial.pass_time(4)
        trial.event("speech_ended", t=1)
        trial.pass_time(1)
        said = json.loads(ask("/healthz.json")[1])
    assert (said["for_s"], said["answered_s"], said["heard_s"]) == pytest.approx((8.0, 65.5, 1.0), abs=0.5)


def test_metrics_count_what_passes() -> None:
    with serving() as (trial, ask):
        trial.event("stage", src="supervisor", stage="capture", state="live", inst=7)
        trial.event("stage", src="supervisor", stage="capture", state="restarting", inst=7)
        trial.event("stage", src="supervisor", stage="capture", state="live", inst=8)
        trial.event("turn_ended", kind="speech", outcome="answered")
        trial.event("latency", src="supervisor", turn=1, total_ms=900, service_ms=880, ours_ms=20)
        trial.event("usage", day_usd=0.25, usd=0.05, out={"audio": 40, "made up": 2})
        trial.event("level", rms_dbfs="loud")
        text = ask("/metrics")[1]
    assert 'voice_pipeline_stage_state{stage="capture",state="live"} 1.0' in text
    assert 'voice_pipeline_stage_state{stage="capture",state="restarting"} 0.0' in text
    assert 'voice_pipeline_stage_starts_total{stage="capture"} 2.0' in text
    assert 'voice_pipeline_turns_total{kind="speech",outcome="answered"} 1.0' in text
    assert 'voice_pipeline_ours_seconds_bucket{le="0.02"} 1.0' in text
    assert "voice_pipeline_day_usd 0.25" in text
    assert "voice_pipeline_spent_usd_total 0.05" in text
    assert 'voice_pipeline_tokens_total{kind="other",way="out"} 2.0' in text
    assert "voice_pipeline_microphone_dbfs NaN" in text, "0 would be as loud as can be"


def test_a_token_keeps_strangers_out_and_is_needed_off_the_loopback() -> None:
    with serving(token="s3same") as (_, ask):
        assert ask("/metrics")[0] == 401
        assert ask("/metrics", Authorization="Bearer wrong")[0] == 401
        assert ask("/metrics", Authorization="Bearer s3same")[0] == 200
    with pytest.raises(OptionError, match="token: missing"), Trial(Health, listen="0.0.0.0:8600"):
        pass
    with pytest.raises(OptionError, match="listen: expected ADDRESS:PORT"), Trial(Health, listen="here"):
        pass


def test_a_button_asks_over_http_and_a_web_page_can_not() -> None:
    with serving() as (trial, ask):
        assert ask("/trigger", "POST", Origin="http://evil.example")[0] == 401
        assert ask("/trigger", "POST")[0] == 202
        assert ask("/reboot", "POST")[0] == 404
        trial.pass_time(0.3)
        assert trial.events("trigger") == [{"by": "http"}]
        assert [ask("/visitor_left", "POST")[0] for _ in range(11)] == [202] * 10 + [503], "what is refused is said so"


def test_a_taken_port_is_said_and_tried_again() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with Trial(Health, listen=f"127.0.0.1:{other.getsockname()[1]}") as trial:
            assert trial.state == "degraded"
            other.close()
            trial.pass_time(11)
            assert trial.state == "live"


def test_the_heartbeat_carries_the_verdict() -> None:
    got: list[dict[str, Any]] = []
    came = threading.Event()

    class Switch(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            came.set()

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    server = HTTPServer(("127.0.0.1", 0), Switch)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        with Trial(Health, listen="none", push=f"http://127.0.0.1:{server.server_port}/", push_every_s=60.0) as trial:
            assert came.wait(5)
            trial.event("verdict", src="supervisor", code="deaf", words="deaf", remedy="")
            came.clear()
            deadline = time.monotonic() + 5
            while not came.wait(0.01) and time.monotonic() < deadline:
                trial.pass_time(61)  # the first one may still be hanging up, and two are not sent at once
    finally:
        server.shutdown()
        server.server_close()
    assert [(beat["code"], beat["healthy"]) for beat in got][:2] == [("starting", True), ("deaf", False)]
