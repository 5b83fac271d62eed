"""A recording asks for an order, the model calls a function, the answer is heard: the whole way, and disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.machine import ROOT, Machine, alive

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


def test_an_order_is_looked_up_and_the_visit_ends_when_the_goodbye_was_heard(home: Path) -> None:
    with Machine(home, "shop.yaml") as machine:
        machine.until(lambda: machine.events("visit", open=False), 90)
        (call, bye), (found, ended) = machine.events("tool_call"), machine.events("tool_result")
        assert (call.body["name"], call.body["args"]) == ("get_order_status", {"order_id": "1017"})
        assert found.body["response"]["result"]["status"] == "ready to be picked up at the counter"
        assert (bye.body["name"], ended.body["silent"]) == ("end_visit", True)
        assert "It is ready to be picked up at the counter." in machine.captions("machine")[0]
        goodbye = machine.events("first_audio")[-1].body
        heard = [event for event in machine.events("heard") if event.body["epoch"] == goodbye["epoch"]]
        last = heard[-1]
        assert last.body["at"] == last.body["buffered_to"] > goodbye["at"], "all of the goodbye was heard"
        assert list((home / "state").rglob("shop.sqlite"))


def test_tools_that_die_in_mid_call_are_replaced_and_nothing_is_left(home: Path) -> None:
    (home / "mine.yaml").write_text(
        f"extends: {ROOT}/configs/shop.yaml\n"
        "stages:\n"
        '  tools: {functions: [{use: "slow:get_order_status", idempotent: true}], filler_after_ms: 300}\n'
        f"  capture: {{files: [{ROOT}/tests/recordings/not_ill_disposed.wav]}}\n"
        f"  simulator: {{script: {ROOT}/configs/simulator/shop.yaml}}\n"
    )
    (home / "slow.py").write_text(
        "import os, time\n"
        "def get_order_status(order_id: str) -> dict[str, str]:\n"
        '    """How an order stands."""\n'
        "    open('pid', 'w').write(str(os.getpid()))\n"
        "    time.sleep(4)\n"
        "    return {'status': 'found after all'}\n"
    )
    with Machine(home, str(home / "mine.yaml")) as machine:
        machine.until(lambda: machine.events("play"), 60)
        worker = int((home / "pid").read_text())
        machine.kill("tools")
        machine.until(lambda: not alive(worker))
        machine.until(lambda: machine.events("tool_result"))
        machine.until(lambda: machine.events("turn_ended", outcome="answered"))
        assert "found after all" in machine.captions("machine")[0]
        assert "thinking" in {event.body["name"] for event in machine.events("play_stop")}
        machine.until(lambda: machine.process.poll() is not None)
        worker = int((home / "pid").read_text())
        machine.until(lambda: not alive(worker))


def test_tools_that_never_come_back_leave_nobody_waiting(home: Path) -> None:
    (home / "mine.yaml").write_text(
        f"extends: {ROOT}/configs/shop.yaml\n"
        "stages:\n"
        '  tools: {functions: ["slow:get_order_status"], filler_after_ms: 300}\n'
        f"  capture: {{files: [{ROOT}/tests/recordings/not_ill_disposed.wav]}}\n"
        f"  simulator: {{script: {ROOT}/configs/simulator/shop.yaml}}\n"
    )
    (home / "slow.py").write_text(
        "import os, time\n"
        "if os.path.exists('down'):\n"
        "    raise ImportError('its database is gone')\n"
        "def get_order_status(order_id: str) -> dict[str, str]:\n"
        '    """How an order stands."""\n'
        "    time.sleep(60)\n"
    )
    with Machine(home, str(home / "mine.yaml")) as machine:
        machine.until(lambda: machine.events("play"), 60)
        (home / "down").touch()
        machine.kill("tools")
        down = machine.until(lambda: machine.events("stage", stage="tools", state="failed"))[0]
        ended = machine.until(lambda: machine.events("turn_ended", outcome="answered"))[0]
        first = machine.events("first_audio")[-1]
        assert first.sent - down.sent < 3e9
        assert ended.sent > first.sent
