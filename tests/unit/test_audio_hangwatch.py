"""A native call that does not return is given up, and does not come back afterwards."""

import threading
import time
from typing import NoReturn

import pytest

from pipeline.audio.deviceguard import HangWatch

pytestmark = pytest.mark.unit


class GivenUp(Exception):
    """In place of the end of the process."""


@pytest.fixture
def given_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(HangWatch, "LOOK_S", 0.005)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    return []


def watch(given_up: list[str], ended: threading.Event) -> HangWatch:
    def give_up(why: str) -> NoReturn:
        given_up.append(why)
        ended.wait(5)  # what a process does that ends: nothing comes back
        raise GivenUp

    return HangWatch(lambda: "it is suspended", give_up)


def test_a_call_that_hangs_is_given_up_with_its_reason_and_never_returns(given_up: list[str]) -> None:
    ended, returned = threading.Event(), threading.Event()
    hang_watch = watch(given_up, ended)
    released = threading.Event()

    def call() -> None:
        with hang_watch:
            released.wait(5)
        returned.set()

    threading.Thread(target=call, daemon=True).start()
    deadline = time.monotonic() + 5
    while not given_up:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    released.set()
    assert given_up == ["it is suspended"]
    assert not returned.wait(0.05), "it went on beside the thread that speaks its last word"
    ended.set()
    assert returned.wait(5)


def test_calls_that_return_are_left_alone_however_many(given_up: list[str]) -> None:
    hang_watch = watch(given_up, threading.Event())
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        with hang_watch:
            time.sleep(0.004)
    time.sleep(0.1)  # outside of any call: nothing hangs there
    hang_watch.close()
    assert given_up == []
