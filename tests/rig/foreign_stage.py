"""A stage without the stage library: plain pyzmq and msgpack, as someone in another language would write it.

    python foreign_stage.py [BEHAVIOUR] [NUMBER]

It says hello, primed, live, beats, obeys `stop`. BEHAVIOUR is what it does wrong, once it is live.
"""

import json
import os
import signal
import subprocess
import sys
import time

import msgpack
import zmq

BEHAVIOUR = sys.argv[1] if len(sys.argv) > 1 else "good"
NUMBER = int(sys.argv[2]) if len(sys.argv) > 2 else 0
WIRING = json.loads(os.environ["PIPELINE_WIRING"])
SLEEPER = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]

context = zmq.Context()
control = context.socket(zmq.DEALER)
control.setsockopt(zmq.IDENTITY, f"{os.environ['PIPELINE_STAGE']}/{os.environ['PIPELINE_INST']}".encode())
control.setsockopt(zmq.LINGER, 200)
sent = taken = 0
leaked: list[bytes] = []


def say(kind: str, **fields: object) -> None:
    control.send(msgpack.packb({"v": 1, "kind": kind, **fields}))


def leave(code: int, reason: str = "") -> None:
    if reason:
        say("bye", reason=reason)
    context.destroy(linger=200)
    os._exit(code)


def work(cpu_s: float) -> None:
    """Like the loading of a model: on a processor of its own it is over soon."""
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        pass


def misbehave() -> None:
    """Once, right after `live`."""
    if BEHAVIOUR == "exit":
        leave(NUMBER)
    elif BEHAVIOUR == "exit_saying":
        leave(NUMBER, "the microphone is gone: plug it in")
    elif BEHAVIOUR == "ended":
        leave(0, "ended")
    elif BEHAVIOUR == "spin":
        while True:
            pass
    elif BEHAVIOUR == "work":
        signal.signal(signal.SIGUSR2, lambda *_: work(NUMBER / 1000))
    elif BEHAVIOUR == "flood":
        os.write(2, b"starting to flood\n")
        while True:
            os.write(2, b"Expression 'self->capture.ready || self->playback.ready' failed\n" * 500)
    elif BEHAVIOUR == "fork_and_die":
        print("child", subprocess.Popen(SLEEPER).pid, subprocess.Popen(SLEEPER, start_new_session=True).pid, flush=True)
        if NUMBER:
            os.kill(os.getpid(), signal.SIGKILL)
    elif BEHAVIOUR == "babble":
        for _ in range(20_000):
            control.send(b"\xc1 no message")
    elif BEHAVIOUR == "degraded":
        say("state", state="degraded", reason="no microphone: plug one in")


def shout(bus: "zmq.Socket[bytes]", count: int) -> None:
    """Messages that are none, to everybody who reads them."""
    topics = (b"event.heard", b"event.speech_started", b"event.flush", b"audio.mic", b"event.tool_result")
    for number in range(count):
        bus.send_multipart([topics[number % len(topics)], b"\xc1 no message"])


def main() -> None:
    global sent, taken
    if BEHAVIOUR == "silent":
        time.sleep(600)
    if BEHAVIOUR == "silent_crash":
        sys.exit(NUMBER)
    if BEHAVIOUR == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    control.connect(WIRING["control"])
    lifeline = int(os.environ["PIPELINE_LIFELINE"])
    poller = zmq.Poller()
    poller.register(control, zmq.POLLIN)
    poller.register(lifeline, zmq.POLLIN)
    say("hello", pid=os.getpid(), device=BEHAVIOUR == "device")
    if BEHAVIOUR == "die_primed" and os.path.exists(os.path.join(WIRING["config_dir"], "die")):
        leave(3)
    if BEHAVIOUR != "half":
        say("primed")
    bus, to_shout = context.socket(zmq.XPUB), NUMBER
    is_live, state = False, "degraded" if BEHAVIOUR == "degraded" else "live"
    while True:
        for source, _ in poller.poll(100):
            if source == lifeline:
                os._exit(1)
            kind = msgpack.unpackb(control.recv())["kind"]
            if kind == "go":
                if BEHAVIOUR == "shout":
                    bus.bind(WIRING["bind"])
                say("live")
                is_live = True
                misbehave()
            elif kind == "stop" and BEHAVIOUR != "stubborn":
                print("stopping", flush=True)
                leave(0)
        if is_live and BEHAVIOUR == "shout" and to_shout:
            shout(bus, min(to_shout, 20_000))
            if not (to_shout := max(0, to_shout - 20_000)):
                open(os.path.join(os.environ["PIPELINE_RUN"], "shouted"), "w").close()
        if is_live and BEHAVIOUR == "leak":
            leaked.append(b"x" * 5_000_000)
        if is_live:
            sent += 50
            taken += 0 if BEHAVIOUR == "deaf" else 50
            counts = {"in": {"voice": taken}, "out": {"voice": sent}}
            reason = "no microphone: plug one in" if BEHAVIOUR == "degraded" else ""
            say("beat", state=state, reason=reason, counts=counts)


main()
