"""What can make a kiosk silent, done to one for real: each with what line 1 of `status` must say of it."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.rig.afflicted import FAR, HERE, KEY, OTHER_KEY, Afflicted
from tests.rig.machine import alive

S = 1_000_000_000
GOAL_S = 3.0
"""From the moment that a fault could be known to the line."""


@dataclass(frozen=True)
class Fault:
    """`inject` returns when it could be known, ns, where that is later than at once."""

    name: str
    says: str
    """A pattern that fits the whole line: cause, then remedy."""
    inject: Callable[[Afflicted], int | None]
    mend: Callable[[Afflicted], object]
    meanwhile: Callable[[Afflicted], None] = lambda kiosk: None
    """Done before each look, while the fault lasts."""
    within_s: float = 15.0
    back_s: float = 40.0
    alone: bool = False
    """Needs a network namespace of its own."""


@dataclass(frozen=True)
class Row:
    """How it went."""

    name: str
    line: str
    injected_s: float
    known_s: float
    back_s: float


def suffer(kiosk: Afflicted, fault: Fault) -> Row:
    """Inject it, wait for the line, mend it, wait until all is well. AssertionError with what was said instead."""
    begun_ns = time.monotonic_ns()
    pattern = re.compile(f"shop: {fault.says}")
    try:
        known_ns = fault.inject(kiosk) or begun_ns
        line, there_ns = kiosk.until_line(
            lambda said: bool(pattern.match(said)), fault.within_s, lambda: fault.meanwhile(kiosk)
        )
        mended_ns = time.monotonic_ns()
    finally:
        fault.mend(kiosk)
    _, back_ns = kiosk.until_line(lambda said: said.startswith("shop: ok"), fault.back_s, lambda: None)
    kiosk.until_answered()
    seconds = [(there_ns - begun_ns) / S, max(0.0, there_ns - known_ns) / S, (back_ns - mended_ns) / S]
    return Row(fault.name, line, *(round(s, 2) for s in seconds))


def _command(*words: str) -> Callable[[Afflicted], None]:
    def type_it(kiosk: Afflicted) -> None:
        kiosk.command(*words)

    return type_it


def _reload(stage: str = "session", **options: object) -> Callable[[Afflicted], int]:
    """Known once its new process works."""

    def reload(kiosk: Afflicted) -> int:
        kiosk.reload(stage, **options)
        return time.monotonic_ns()

    return reload


def _dial(**fault: object) -> Callable[[Afflicted], None]:
    """Each dial from now on ends so; the line that is up is cut."""

    def inject(kiosk: Afflicted) -> None:
        kiosk.service_does(fault, {"when": "now", "close": "cut"})

    return inject


def _service_again(kiosk: Afflicted) -> None:
    kiosk.service_again()
    kiosk.asks()  # a key that was refused is tried again soon only for somebody who waits


def _unplugs(what: str) -> Callable[[Afflicted], None]:
    return lambda kiosk: kiosk.pulse.unload_source(what) if what == "mic" else kiosk.pulse.unload_sink(what)


def _microphone_again(kiosk: Afflicted) -> None:
    kiosk.pulse.load_mic()
    kiosk.pulse.pactl("set-default-source", "mic")
    kiosk.room()


def _speaker_again(kiosk: Afflicted) -> None:
    kiosk.pulse.load_speaker()
    kiosk.pulse.pactl("set-default-sink", "speaker")
    kiosk.room()


def _server_dies(kiosk: Afflicted) -> None:
    kiosk.pulse.kill()


def _server_again(kiosk: Afflicted) -> None:
    kiosk.pulse.start()
    kiosk.room()


def _zeros(kiosk: Afflicted) -> int:
    kiosk.reload("frontend", self_test="replies")
    kiosk.pulse.pactl("set-source-mute", "mic", "1")
    return time.monotonic_ns() + 3 * S  # of exact zeros, then it is known that nothing else will come


def _deaf(kiosk: Afflicted) -> int:
    """Three answers of which the microphone hears nothing."""
    kiosk.reload("frontend", self_test="replies")
    for _ in range(3):
        _answered(kiosk)
    return time.monotonic_ns()


def _answered(kiosk: Afflicted) -> None:
    machine = kiosk.machine
    before = len(machine.events("turn_ended", outcome="answered"))
    kiosk.asks()
    machine.until(lambda: len(machine.events("turn_ended", outcome="answered")) > before)
    machine.until(lambda: machine.events("heard")[-1].body["at"] == machine.events("heard")[-1].body["buffered_to"])
    time.sleep(1.0)  # of silence, by which an answer is known to be over


def _hears_again(kiosk: Afflicted) -> None:
    kiosk.echo()
    for _ in range(3):
        _answered(kiosk)
        if kiosk.machine.events("hearing")[-1].body["verdict"] == "ok":
            break
    kiosk.no_echo()
    kiosk.reload("frontend")


def _sounds_again(kiosk: Afflicted) -> None:
    kiosk.pulse.pactl("set-source-mute", "mic", "0")
    kiosk.reload("frontend")


def _hears_itself(kiosk: Afflicted) -> int:
    """It cuts itself; where the loopback of a busy machine is later than an answer is long, it answers itself."""
    events = kiosk.machine.events
    kiosk.echo()
    kiosk.reload("frontend", aec="none", self_test="replies")
    kiosk.machine.until(lambda: kiosk.machine.live("frontend"))
    for _ in range(3):
        before = len(events("interrupted"))
        kiosk.asks()
        kiosk.machine.until(
            lambda: len(events("interrupted")) > before or events("hearing", verdict="itself")  # noqa: B023
        )
    return time.monotonic_ns()


def _answers_itself(kiosk: Afflicted) -> int:
    """A television as speaker: half of each answer comes when the gate is open again. Known after the third whose
    pitch is right: PulseAudio's loopback finds its pace in the first ones."""
    kiosk.echo(late_ms=1_500)
    kiosk.reload("frontend", self_test="replies")
    kiosk.machine.until(lambda: kiosk.machine.live("frontend"))
    kiosk.asks()
    kiosk.machine.until(lambda: kiosk.machine.events("hearing", verdict="itself"))
    assert len(kiosk.machine.events("turn_ended", kind="speech", outcome="answered")) > 1
    return time.monotonic_ns()


def _knows_itself(kiosk: Afflicted) -> None:
    kiosk.no_echo()
    kiosk.reload("frontend")
    time.sleep(2)
    _answered(kiosk)


def _raises(kiosk: Afflicted) -> None:
    (kiosk.shop / "raises").touch()
    kiosk.background("restart", "gain")


def _raises_no_more(kiosk: Afflicted) -> None:
    (kiosk.shop / "raises").unlink()
    kiosk.background("restart", "gain")


def _silent_service(kiosk: Afflicted) -> int:
    kiosk.service.process.send_signal(signal.SIGSTOP)
    kiosk.strike("session", signal.SIGKILL)
    return time.monotonic_ns() + 5 * S  # OPEN_S: so long it may take to open a line


def _key(key: str) -> Callable[[Afflicted], None]:
    def change(kiosk: Afflicted) -> None:
        kiosk.key_file.write_text(key)
        kiosk.service_does({"when": "now", "close": "cut"})
        kiosk.asks()

    return change


def _hosts(text: str, within_s: int = 0) -> Callable[[Afflicted], int]:
    """Where the service is found from now on; it takes so long to know that nobody is there."""

    def change(kiosk: Afflicted) -> int:
        kiosk.hosts.write_text(text)
        if text != HERE:
            kiosk.service_does({"when": "now", "close": "cut"})
        return time.monotonic_ns() + within_s * S

    return change


def _cable(state: str) -> Callable[[Afflicted], int]:
    def pull(kiosk: Afflicted) -> int:
        subprocess.run(["ip", "-n", kiosk.net, "link", "set", "lo", state], check=True)
        if state == "down":
            kiosk.speaks()
        return time.monotonic_ns() + 6 * S  # DEAD_PEER_MS: so long nobody acknowledges what is said

    return pull


def _disk_full(kiosk: Afflicted) -> int:
    """Known when the first turn is to be kept."""
    with (kiosk.disk() / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return _turn(kiosk)


def _disk_free(kiosk: Afflicted) -> None:
    (kiosk.disk() / "filler").unlink()


def _spent(kiosk: Afflicted) -> int:
    dear = {"text_in": 9, "audio_in": 9, "text_out": 99, "audio_out": 99}
    kiosk.reload(budget={"day_usd": 0.001, "prices": {"*": dear}})
    kiosk.asks()
    kiosk.machine.until(lambda: kiosk.machine.events("connection", reason="capped"))
    return time.monotonic_ns()


def _turn(kiosk: Afflicted) -> int:
    """A text, until its turn is over: then it is counted and kept."""
    machine, before = kiosk.machine, len(kiosk.machine.events("turn_ended"))
    kiosk.asks()
    machine.until(lambda: len(machine.events("turn_ended")) > before)
    return time.monotonic_ns()


def _nobody_triggers(kiosk: Afflicted) -> int:
    kiosk.reload(opens="trigger", visit={"ends_after_s": 1})
    return time.monotonic_ns() + 2 * S  # the visitor who is there leaves first


def _strikes(stage: str, number: int) -> Callable[[Afflicted], None]:
    return lambda kiosk: kiosk.strike(stage, number)


def _kills(stage: str) -> Callable[[Afflicted], int]:
    """Three times, each as soon as there is one: that is often."""

    def kill(kiosk: Afflicted) -> int:
        killed: set[int] = set()
        for _ in range(3):
            kiosk.machine.until(lambda: alive(kiosk.pid(stage)) and kiosk.pid(stage) not in killed)
            killed.add(kiosk.pid(stage))
            kiosk.strike(stage, signal.SIGKILL)
        return time.monotonic_ns()

    return kill


def _freezes(stage: str) -> Callable[[Afflicted], int]:
    def freeze(kiosk: Afflicted) -> int:
        kiosk.strike(stage, signal.SIGSTOP)
        return time.monotonic_ns() + 2 * S  # BEAT_S: so long it may be silent

    return freeze


def _nothing(kiosk: Afflicted) -> None:
    """It ends when it is not done again."""


MODEL = "models/gpt-live is not found for API version v1beta, or is not supported for bidiGenerateContent."
NO_KEY = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other"
DEVICES = [
    Fault("muted by a command", r"muted: by command \(.*voice-pipeline unmute$", _command("mute"), _command("unmute")),
    Fault("volume at 0", "muted: the speaker's volume is 0.*voice-pipeline volume 70$", _command("volume", "0"),
          _command("volume", "70")),
    Fault("microphone unplugged", "microphone gone: .*plug it in", _unplugs("mic"), _microphone_again),
    Fault("microphone switched off: zeros", "microphone silent: .*switch it on", _zeros,
          _sounds_again),
    Fault("microphone deaf: no trace of three answers", "microphone or speaker deaf: .*switched on", _deaf,
          _hears_again),
    Fault("hears itself", "hearing itself: .*half_duplex", _hears_itself, _knows_itself),
    Fault("answers its own late echo", "hearing itself: .* its own voice, 1[3-9].* ms after .*tail_ms$",
          _answers_itself, _knows_itself),
    Fault("speaker unplugged", "speaker gone: .*plug it in", _unplugs("speaker"), _speaker_again),
    Fault("sound server killed", "sound server gone: .*systemctl --user restart", _server_dies, _server_again),
    Fault("sound server frozen", "sound server frozen: .*systemctl --user restart", lambda kiosk: kiosk.pulse.freeze(),
          lambda kiosk: kiosk.pulse.thaw()),
]  # fmt: skip
STAGES = [
    Fault("capture is killed again and again", "a stage is failing: capture .*voice-pipeline restart capture$",
          _kills("capture"), _nothing, _strikes("capture", signal.SIGKILL)),
    Fault("frontend hangs, and who follows it", "a stage is failing: frontend hangs: no beat.*restart frontend$",
          _freezes("frontend"), _nothing, _strikes("frontend", signal.SIGSTOP)),
    Fault("session is killed again and again", "a stage is failing: session .*voice-pipeline restart session$",
          _kills("session"), _nothing, _strikes("session", signal.SIGKILL)),
    Fault("a stage of the shop raises on start", "a stage is failing: gain.* no calibration.*restart gain$",
          _raises, _raises_no_more),
    Fault("disk full", "disk full: .*make room", _disk_full, _disk_free, alone=True),
]  # fmt: skip
NETWORK = [
    Fault("service refuses connections", "service unreachable: .*refuses connections.*doctor$",
          lambda kiosk: kiosk.service.kill(), lambda kiosk: kiosk.service.start()),
    Fault("cable pulled", "service unreachable: .*check the network", _cable("down"), _cable("up"),
          within_s=25, alone=True),
    Fault("name server gone", "service unreachable: the name of .*check the network and the DNS",
          _hosts("127.0.0.1 somebody\n"), _hosts(HERE), alone=True),
    Fault("packets go nowhere", "service unreachable: .*does not answer.*check the network", _hosts(FAR, 5),
          _hosts(HERE), within_s=25, alone=True),
    Fault("service takes connections and says nothing", "service unreachable: .*(does not answer|for more than)",
          _silent_service, _service_again, within_s=25),
    Fault("clock wrong: certificate not yet valid", "clock wrong: .*not yet valid.*set its clock",
          _dial(when="dial", tls="not_yet_valid"), _service_again),
    Fault("certificate expired", "clock wrong: .*expired.*set the clock", _dial(when="dial", tls="expired"),
          _service_again),
    Fault("TLS opened by a stranger", "service unreachable: the certificate .*portal.*SSL_CERT_FILE",
          _dial(when="dial", tls="untrusted"), _service_again),
    Fault("captive portal (511)", "service unreachable: a portal .*log in", _dial(when="dial", http={"status": 511}),
          _service_again),
    Fault("a proxy wants a password (407)", "service unreachable: .*407.*HTTPS_PROXY",
          _dial(when="dial", http={"status": 407}), _service_again),
]  # fmt: skip
SERVICE = [
    Fault("key refused (1007)", "key refused: .*check key_file", _key(OTHER_KEY), _key(KEY)),
    Fault("no key (1008)", "key refused: .*check key_file",
          _dial(when="connect", close={"code": 1008, "reason": NO_KEY}), _service_again),
    Fault("quota (1011)", "quota used up: .*billing", _dial(when="connect", close="quota"), _service_again),
    Fault("too many requests (429)", "quota used up: .*429.*its limits$", _dial(when="dial", http={"status": 429}),
          _service_again),
    Fault("service overloaded (1011)", "service out of order: .*1011 Internal.*status page$",
          _dial(when="connect", close="internal"), _service_again),
    Fault("service overloaded (503)", "service out of order: .*503.*status page$",
          _dial(when="dial", http={"status": 503}), _service_again),
    Fault("model unknown (1008)", "service refuses this session: .*set `model` to one of",
          _dial(when="connect", close={"code": 1008, "reason": MODEL}), _service_again),
    Fault("budget spent", "budget used up: .*budget.day_usd", _spent, _reload()),
    Fault("waits for a trigger", "waiting for a trigger.*voice-pipeline trigger$", _nobody_triggers, _reload()),
    Fault("simulator instead of the service", "simulator instead of service.*a key is set: write `service: auto`",
          _reload(service="simulator", key_file=None), _reload()),
]  # fmt: skip
FAULTS = [*DEVICES, *STAGES, *NETWORK, *SERVICE]
