"""Why the machine is silent, in one line: one reason of a closed list, since when, and what to do. Pure.

Of several reasons the one is named that has to be mended first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from pipeline.supervisor.failing import FAILING_S, Failing
from pipeline.supervisor.health import DUMB
from pipeline.supervisor.unreadable import REMEDY, UNREADABLE

Code = Literal[
    "ok",
    "starting",
    "stopping",
    "stage_failing",
    "muted",
    "sound_server_gone",
    "microphone_gone",
    "deaf",
    "microphone_silent",
    "speaker_gone",
    "key_refused",
    "clock_wrong",
    "quota",
    "service_unreachable",
    "capped",
    "hearing_itself",
    "disk_full",
    "waiting_for_trigger",
    "simulator",
]

REASONS: Final[dict[Code, tuple[str, str]]] = {
    "stopping": ("stopping", ""),
    "starting": ("starting", ""),
    "stage_failing": ("a stage is failing", "see its last words in the log; voice-pipeline restart STAGE"),
    "muted": ("muted", "voice-pipeline unmute"),
    "sound_server_gone": (
        "sound server gone",
        "restart it: systemctl --user restart pipewire-pulse (or pulseaudio); voice-pipeline doctor",
    ),
    "microphone_gone": ("microphone gone", "see its plug; `voice-pipeline devices` lists those that are there"),
    "deaf": ("microphone or speaker deaf", "see that both are switched on, turned up, and the ones people use"),
    "microphone_silent": ("microphone silent", "switch it on, unmute it in the mixer"),
    "speaker_gone": ("speaker gone", "see its plug; `voice-pipeline devices` lists those that are there"),
    "key_refused": ("key refused", "set a valid GOOGLE_API_KEY and start again"),
    "clock_wrong": ("clock wrong", "timedatectl set-ntp true"),
    "quota": ("quota used up", "raise it in the service's console, or wait"),
    "service_unreachable": ("service unreachable", "check the network of this machine; voice-pipeline doctor"),
    "capped": ("budget used up", "raise session.budget, or wait until the day turns"),
    "hearing_itself": (
        "hearing itself",
        "turn the volume down, move the microphone away, or frontend.aec: half_duplex",
    ),
    "disk_full": ("disk full", "make room where the state directory is"),
    "waiting_for_trigger": ("waiting for a trigger", "voice-pipeline trigger"),
    "simulator": (
        "simulator instead of service",
        "set GOOGLE_API_KEY, take out `service: simulator` where it is written, start again",
    ),
    "ok": ("ok", ""),
}
"""Words and remedy, in the order of what to mend first."""

FAILURES: Final[dict[str, Code]] = {
    "key": "key_refused",
    "clock": "clock_wrong",
    "quota": "quota",
    "rate": "quota",
}
"""Kinds of a failed connection that are no outage."""
ITS_OWN: Final = "its own fault: it is tried again by itself; if it lasts, see the service's status page"
HEADS: Final[dict[str, tuple[str, str]]] = {
    "internal": ("service out of order", ITS_OWN),
    "unavailable": ("service out of order", ITS_OWN),
    "closed": ("service out of order", ITS_OWN),
    "invalid": ("service refuses this session", ""),
    "model": ("service refuses this session", ""),
    "exhausted": ("service refuses this session", ""),
}
"""Kinds of a failed connection for which other words fit better, and another remedy."""

DIAL_S: Final = 4.0
"""A session that has said nothing of its line for so long gets none."""
SOON_S, IN_A_ROW = 3.0, 3
"""So many answers in a row cut so soon after their first sound: it is its own voice that cuts them."""
LONGER: Final = "turn the volume down, move the microphone away, or frontend.aec: half_duplex with a longer tail_ms"
"""What helps against an echo that comes when the answer is over."""
UNANSWERED: Final = 2
"""So many inputs in a row that the service left without an answer. A text it must answer: the line is up, and of no
use. What was heard may have been noise, which nobody answers: worth a word, no more."""
DISK: Final = ("No space left", "disk is full", "Read-only file system", "disk I/O error", "database or disk is full")
ROOM: Final = "make room there"
NO_LINE: Final = "no connection to"
NO_SERVER: Final = ("no sound server", "the sound server has gone")
"""Of one end, where both are lost: the other may not have come so far as to say so."""
FROZEN: Final = "the sound server does not answer"
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line about the whole machine."""

    code: Code
    words: str
    """The reason, and what the part that is concerned says of it."""
    remedy: str
    since_ns: int
    heard_ns: int | None
    """When a person was last heard to the end of what they said."""
    answered_ns: int | None
    """When an answer was last heard to its end."""

    @property
    def line(self) -> str:
        """For a person."""
        return f"{self.words}; {self.remedy}" if self.remedy else self.words

    def body(self, now_ns: int) -> dict[str, Any]:
        """For `event.verdict` and `status --json`: ages in seconds."""

        def age(at_ns: int | None) -> float | None:
            return None if at_ns is None else round((now_ns - at_ns) / _NS, 1)

        return {
            "code": self.code,
            "words": self.words,
            "remedy": self.remedy,
            "for_s": age(self.since_ns),
            "heard_s": age(self.heard_ns),
            "answered_s": age(self.answered_ns),
        }


class Found(NamedTuple):
    """A reason, what is said of it, and a head and a remedy of its own."""

    code: Code
    said: str = ""
    remedy: str = ""
    head: str = ""


class Watch:
    """Keeps what the verdict needs. `required`: the stages without which the pipeline is nothing."""

    def __init__(self, now_ns: int, required: Mapping[str, bool]) -> None:
        self._required = required
        self._failing = Failing(required)
        self._states: dict[str, tuple[str, str]] = {}
        self._degraded_ns: dict[str, int] = {}
        self._connection: Mapping[str, Any] = {}
        self._new_session = True
        self._dials_ns: int | None = None
        """Since when the session, new, has been looking for its first line."""
        self._hearing: Mapping[str, Any] = {}
        self._mute: Mapping[str, Any] = {}
        self._volume = 100
        self._cut_soon = self._unanswered = self._unread = 0
        """In a row: answers cut at once, turns without an answer, texts among these."""
        self._audible_ns: int | None = None
        self._heard_ns: int | None = None
        self._spoke = False
        """Somebody was heard since the last turn."""
        self._answered_ns: int | None = None
        self._code: Code = "starting"
        self._since_ns = now_ns
        self.stopping = False

    def stage(self, now_ns: int, name: str, state: str, reason: str) -> None:
        """How a stage is, each change."""
        self._failing.stage(now_ns, name, state, reason)
        self._states[name] = (state, reason)
        if state == "degraded":
            self._degraded_ns.setdefault(name, now_ns)
        elif state != "starting" and state != "primed":  # the next one may find no device either
            self._degraded_ns.pop(name, None)
        new = state in ("restarting", "starting", "primed")
        if name == "frontend" and new:
            self._hearing = {}  # whoever follows judges afresh, and says nothing while it finds nothing
        if name == "session" and new:
            self._new_session, self._dials_ns = True, None
        elif name == "session" and state == "waiting" and self._new_session:
            self._new_session, self._dials_ns = False, now_ns

    def event(self, now_ns: int, name: str, body: Mapping[str, Any]) -> None:
        """An event of a stage or of the supervisor; those that say nothing here are ignored."""
        match name:
            case "connection":
                self._connection, self._dials_ns = body, None
            case "hearing":
                self._hearing = body
            case "mute":
                self._mute = body
            case "volume":
                self._volume = body.get("percent", 100)
            case "speech_ended":
                self._heard_ns, self._spoke = now_ns, True
            case "audible":
                self._audible_ns = now_ns
            case "interrupted" | "barge_in" if body.get("verdict", "confirmed") == "confirmed":
                self._was_cut(now_ns)
            case "turn_ended":
                self._turn_ended(now_ns, body)

    def verdict(self, now_ns: int) -> Verdict:
        """The verdict now."""
        found = self._judge(now_ns)
        if found.code != self._code:
            self._code, self._since_ns = found.code, now_ns
        head, remedy = REASONS[found.code]
        words = ": ".join(part for part in (found.head or head, found.said) if part)
        remedy = found.remedy or remedy
        return Verdict(found.code, words, remedy, self._since_ns, self._heard_ns, self._answered_ns)

    def _judge(self, now_ns: int) -> Found:
        if self.stopping:
            return Found("stopping")
        looks = (self._of_stages, self._of_sound, self._of_line, self._of_rest)
        return next(filter(None, (look(now_ns) for look in looks)))

    def _of_stages(self, now_ns: int) -> Found | None:
        if fault := self._failing.fault(now_ns):
            return Found("stage_failing", fault.words, fault.remedy)
        for name, (state, reason) in self._states.items():
            if state == "degraded" and self._required.get(name, True):
                if reason.startswith(UNREADABLE):
                    return Found("stage_failing", f"{name}: {reason}", REMEDY)
                if reason.startswith(DUMB):
                    return Found("stage_failing", f"{name}: {reason}", f"voice-pipeline restart {name}")
        if self._mute.get("muted"):
            return Found("muted", f"by {self._mute.get('by') or 'command'}")
        return None

    def _of_sound(self, now_ns: int) -> Found | None:
        ear, mouth = self._lost(now_ns, "capture"), self._lost(now_ns, "playback")
        if FROZEN in ear or FROZEN in mouth:
            return Found("sound_server_gone", "it does not answer", head="sound server frozen")
        both = self._degraded_ns.keys() >= {"capture", "playback"}  # the second may have hung before it noticed
        if both and any(gone in f"{ear}; {mouth}" for gone in NO_SERVER):
            return Found("sound_server_gone", "microphone and speaker have none to talk to")
        heard = self._hearing.get("verdict", "ok")
        if ear:
            return Found("microphone_silent" if "zeros" in ear else "microphone_gone", ear)
        if heard in ("deaf", "silent"):
            said = str(self._hearing.get("reason", ""))
            return Found("deaf" if heard == "deaf" else "microphone_silent", said)
        if mouth:
            return Found("speaker_gone", mouth)
        if self._volume == 0:
            return Found("muted", "the speaker's volume is 0", "voice-pipeline volume 70")
        return None

    def _disk(self, name: str) -> str:
        """What a stage says of a disk that takes nothing; "" if it can write."""
        state, reason = self._states.get(name, ("", ""))
        return reason if state == "degraded" and any(word in reason for word in DISK) else ""

    def _of_line(self, now_ns: int) -> Found | None:
        if full := self._disk("simulator"):  # it can't say where it is: no network helps
            return Found("disk_full", full.removesuffix(f"; {ROOM}"), ROOM)
        if self._dials_ns is not None and now_ns - self._dials_ns > DIAL_S * _NS:
            doing = self._states["session"][1] or "it says nothing of its line"
            return Found("service_unreachable", f"{doing} for more than {DIAL_S:g} s")
        if self._connection and not self._connection.get("up"):
            return self._of_no_line(self._connection)
        if not self._connection and "session" in self._states:
            return Found("starting", self._states["session"][1])
        if self._unread >= UNANSWERED:
            words = f"it was given {self._unread} texts in a row and answered none"
            return Found("service_unreachable", words, ITS_OWN, "service does not answer")
        return Found("starting") if self._required.keys() - self._states.keys() else None

    def _of_no_line(self, connection: Mapping[str, Any]) -> Found | None:
        reason, kind = str(connection.get("reason", "")), str(connection.get("kind", ""))
        if reason == "capped":
            return Found("capped", self._states.get("session", ("", ""))[1].removeprefix("capped: "))
        if reason == "untriggered":
            return Found("waiting_for_trigger")
        if reason == "idle":
            return None
        remedy = str(connection.get("remedy") or "")
        head, own = HEADS.get(kind, ("", ""))
        code = FAILURES.get(kind, "service_unreachable")
        return Found(code, reason.removesuffix(f"; {remedy}"), remedy or own, head)

    def _of_rest(self, now_ns: int) -> Found:
        if self._hearing.get("verdict") == "itself":
            return Found("hearing_itself", str(self._hearing.get("reason", "")), LONGER)
        if self._cut_soon >= IN_A_ROW:
            return Found("hearing_itself", f"{self._cut_soon} answers in a row were cut within {SOON_S:g} s")
        if full := self._disk("session"):
            return Found("disk_full", full)
        if self._connection.get("service") == "simulator":
            return Found("simulator", remedy=str(self._connection.get("remedy") or ""))
        return Found("ok", head=self._but())

    def _but(self) -> str:
        """What is worth a word though nobody is kept from talking."""
        ill = {name: said for name, (state, said) in self._states.items() if state in ("degraded", "failed")}
        for name in ("capture", "playback"):  # being replaced just now
            ill.pop(name, None)
        if ill.get("session", "").startswith(NO_LINE):  # and of that its event will tell
            del ill["session"]
        parts = [f"{name}: {said}" if said else name for name, said in ill.items()]
        if self._unanswered >= UNANSWERED:
            parts.append(f"what was heard got no answer {self._unanswered} times in a row: noise, or the service")
        return f"ok, but {'; '.join(parts)}" if parts else ""

    def _lost(self, now_ns: int, name: str) -> str:
        """Why a device is gone; empty while it is there, or is just being replaced."""
        since_ns, reason = self._degraded_ns.get(name), self._states.get(name, ("", ""))[1]
        if since_ns is None or (now_ns - since_ns <= FAILING_S * _NS and FROZEN not in reason):
            return ""  # a server is called frozen only after it was waited for
        return reason or "no reason given"

    def _turn_ended(self, now_ns: int, body: Mapping[str, Any]) -> None:
        if body.get("kind") == "speech" and not self._spoke:  # the word of a front end that has just come is missed
            self._heard_ns = now_ns
        self._spoke = False
        if body.get("outcome") == "answered":
            self._answered_ns, self._cut_soon, self._unanswered, self._unread = now_ns, 0, 0, 0
        elif body.get("reason") == "stalled":
            self._unanswered += 1
            self._unread += body.get("kind") == "text"

    def _was_cut(self, now_ns: int) -> None:
        if self._audible_ns is not None and now_ns - self._audible_ns < SOON_S * _NS:
            self._cut_soon += 1
            self._audible_ns = None  # `barge_in` and `interrupted` tell of one cut
