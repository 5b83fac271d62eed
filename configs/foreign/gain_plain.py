"""A stage from PROTOCOL.md alone: plain pyzmq and msgpack, nothing of voice-pipeline. Makes `voice` louder.

The least that a filter owes: its name on the bus, its life on control, a place for every block. It keeps nothing, so
what passes while it is being restarted is lost; gain.mjs keeps 30 s and loses nothing.
"""

import array
import fcntl
import json
import os
import sys
import time

import msgpack
import zmq

NAME, INST = os.environ["PIPELINE_STAGE"], int(os.environ["PIPELINE_INST"])
WIRING = json.loads(os.environ["PIPELINE_WIRING"])
LIFELINE = int(os.environ["PIPELINE_LIFELINE"])
FACTOR = 10 ** (float(WIRING["options"].get("db", 6.0)) / 20)
SOURCE = WIRING["inputs"]["voice"]

context = zmq.Context()
control = context.socket(zmq.DEALER)
control.identity = f"{NAME}/{INST}".encode()
control.linger = 200
control.connect(WIRING["control"])
counts = {"in": 0, "out": 0}
seqs: dict[str, int] = {}


def say(kind: str, **fields: object) -> None:
    """Up to the supervisor."""
    control.send(msgpack.packb({"v": 1, "kind": kind, **fields}))


def beat(state: str) -> None:
    """From the loop that does the work: that it comes is what is watched."""
    say("beat", state=state, reason="", counts={"in": {"voice": counts["in"]}, "out": {"voice": counts["out"]}})


def message(topic: str, **fields: object) -> list[bytes]:
    """Two parts: topic and map."""
    seqs[topic] = seqs.get(topic, -1) + 1
    stamp = {"v": 1, "src": NAME, "inst": INST, "seq": seqs[topic], "sent": time.monotonic_ns()}
    return [topic.encode(), msgpack.packb({**stamp, **fields})]


def louder(pcm: bytes) -> bytes:
    """s16le times FACTOR, clipped."""
    samples = array.array("h", pcm)
    return array.array("h", (max(-32768, min(32767, round(one * FACTOR))) for one in samples)).tobytes()


def until_go() -> None:
    """Wait for `go`: until then nothing exclusive is held."""
    while True:
        if control.poll(500):
            kind = msgpack.unpackb(control.recv())["kind"]
            if kind == "go":
                return
            if kind == "stop":
                say("bye", reason="")
                context.destroy(linger=200)
                sys.exit(0)
        beat("primed")


def main() -> None:
    """From `hello` to `bye`."""
    say("hello", pid=os.getpid())
    say("primed")
    until_go()
    path = WIRING["bind"].removeprefix("ipc://")
    lock = os.open(os.path.splitext(path)[0] + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # binding a path twice would succeed silently
    bus = context.socket(zmq.XPUB)
    bus.setsockopt(zmq.XPUB_VERBOSE, 1)
    bus.sndhwm = 8000
    bus.bind(WIRING["bind"])
    voice = context.socket(zmq.SUB)
    voice.setsockopt(zmq.RECONNECT_IVL, 20)
    voice.subscribe("audio.voice")
    voice.connect(WIRING["peers"][SOURCE])
    say("live")
    state = message("event.state", body={"state": "live", "reason": "", "replays": []})
    bus.send_multipart(state)
    poller = zmq.Poller()
    for one in (control, bus, voice, LIFELINE):
        poller.register(one, zmq.POLLIN)
    next_beat, newest_t = 0.0, -1
    while True:
        ready = dict(poller.poll(max(0, int((next_beat - time.monotonic()) * 1000))))
        if LIFELINE in ready:
            os._exit(1)  # the supervisor is gone
        if time.monotonic() >= next_beat:
            next_beat = time.monotonic() + 0.5
            beat("live")
        if control in ready and msgpack.unpackb(control.recv())["kind"] == "stop":
            say("bye", reason="")
            context.destroy(linger=200)
            return
        if bus in ready and bus.recv()[:1] == b"\x01":
            bus.send_multipart(state)  # sticky: bytes unchanged, for whoever has just come
        while voice in ready and voice.poll(0):
            topic, data = voice.recv_multipart()
            block = msgpack.unpackb(data)
            counts["in"] += 1
            if topic != b"audio.voice" or block.get("v") != 1 or block["t"] <= newest_t:
                continue
            newest_t = block["t"]
            kept = {key: block[key] for key in ("rate", "channels", "format", "t", "gated") if key in block}
            bus.send_multipart(message("audio.voice", **kept, pcm=louder(block["pcm"])))
            counts["out"] += 1


if __name__ == "__main__":
    main()
