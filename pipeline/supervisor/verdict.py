"""Why the machine is silent, in one line: one reason of a closed list, since when, and what to do. Pure.

Of several reasons the one is named that has to be mended first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Code = Literal[
    "ok",
    "starting",
    "stopping",
    "stage_failing",
    "muted",
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
    "microphone_gone": ("microphone gone", "plug it in; voice-pipeline devices"),
    "deaf": ("microphone or speaker deaf", "see that both are switched on, and the ones people use"),
    "microphone_silent": ("microphone silent", "switch it on, unmute it in the mixer"),
    "speaker_gone": ("speaker gone", "plug it in; voice-pipeline devices"),
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

FAILING_S: Final = 1.5
"""A required stage away, or a device lost, for longer is worth a word; a restart takes a tenth of it."""
OFTEN, OFTEN_S = 3, 30.0
"""So many restarts in so long are a failing stage, however quickly each was over."""
SOON_S, IN_A_ROW = 3.0, 3
"""So many answers in a row cut so soon after their first sound: it is its own voice that cuts them."""
DISK: Final = ("No space left", "disk is full", "Read-only file system", "disk I/O error", "database or disk is full")
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


class Watch:
    """Keeps what the verdict needs. `required`: the stages without which the pipeline is nothing."""

    def __init__(self, now_ns: int, required: Mapping[str, bool]) -> None:
        self._required = required
        self._states: dict[str, tuple[str, str]] = {}
        self._degraded_ns: dict[str, int] = {}
        self._away_ns: dict[str, int] = {}
        self._deaths: list[tuple[int, str]] = []
        self._connection: Mapping[str, Any] = {}
        self._hearing: Mapping[str, Any] = {}
        self._mute: Mapping[str, Any] = {}
        self._cut_soon = 0
        self._audible_ns: int | None = None
        self._heard_ns: int | None = None
        self._answered_ns: int | None = None
        self._code: Code = "starting"
        self._since_ns = now_ns
        self.stopping = False

    def stage(self, now_ns: int, name: str, state: str, reason: str) -> None:
        """How a stage is, each change."""
        before = self._states.get(name, ("", ""))[0]
        self._states[name] = (state, reason)
        if state == "degraded":
            self._degraded_ns.setdefault(name, now_ns)
        elif state != "starting" and state != "primed":  # the next one may find no device either
            self._degraded_ns.pop(name, None)
        if state in ("restarting", "starting", "primed", "failed"):
            self._away_ns.setdefault(name, now_ns)
        else:
            self._away_ns.pop(name, None)
        if state == "restarting" and before != state:
            self._deaths = [*self._deaths[-20:], (now_ns, name)]

    def event(self, now_ns: int, name: str, body: Mapping[str, Any]) -> None:
        """An event of a stage or of the supervisor; those that say nothing here are ignored."""
        match name:
            case "connection":
                self._connection = body
            case "hearing":
                self._hearing = body
            case "mute":
                self._mute = body
            case "speech_ended":
                self._heard_ns = now_ns
            case "audible":
                self._audible_ns = now_ns
            case "interrupted" | "barge_in" if body.get("verdict", "confirmed") == "confirmed":
                self._was_cut(now_ns)
            case "turn_ended" if body.get("outcome") == "answered":
                self._answered_ns, self._cut_soon = now_ns, 0

    def verdict(self, now_ns: int) -> Verdict:
        """The verdict now."""
        code, said = self._judge(now_ns)
        if code != self._code:
            self._code, self._since_ns = code, now_ns
        words, remedy = REASONS[code]
        words = f"{words}: {said}" if said else words
        return Verdict(code, words, remedy, self._since_ns, self._heard_ns, self._answered_ns)

    def _judge(self, now_ns: int) -> tuple[Code, str]:
        if self.stopping:
            return "stopping", ""
        return next(filter(None, (self._of_stages(now_ns), self._of_line(), self._of_rest())), ("ok", ""))

    def _of_stages(self, now_ns: int) -> tuple[Code, str] | None:
        if failing := self._failing(now_ns):
            return "stage_failing", failing
        if self._mute.get("muted"):
            return "muted", f"by {self._mute.get('by') or 'command'}"
        _, reason = self._states.get("capture", ("", ""))
        heard = self._hearing.get("verdict", "ok")
        if self._lost(now_ns, "capture"):
            return ("microphone_silent" if "zeros" in reason else "microphone_gone"), reason
        if heard in ("deaf", "silent"):
            return ("deaf" if heard == "deaf" else "microphone_silent"), str(self._hearing.get("reason", ""))
        _, reason = self._states.get("playback", ("", ""))
        return ("speaker_gone", reason) if self._lost(now_ns, "playback") else None

    def _of_line(self) -> tuple[Code, str] | None:
        if self._connection and not self._connection.get("up"):
            reason = str(self._connection.get("reason", ""))
            if reason == "capped":
                return "capped", self._states.get("session", ("", ""))[1]
            if reason == "untriggered":
                return "waiting_for_trigger", ""
            if reason != "idle":
                return FAILURES.get(str(self._connection.get("kind")), "service_unreachable"), reason
        elif not self._connection and "session" in self._states:
            return "starting", self._states["session"][1]
        return ("starting", "") if self._required.keys() - self._states.keys() else None

    def _of_rest(self) -> tuple[Code, str] | None:
        if self._cut_soon >= IN_A_ROW:
            return "hearing_itself", f"{self._cut_soon} answers in a row were cut within {SOON_S:g} s"
        state, reason = self._states.get("session", ("", ""))
        if state == "degraded" and any(word in reason for word in DISK):
            return "disk_full", reason
        return ("simulator", "") if self._connection.get("service") == "simulator" else None

    def _failing(self, now_ns: int) -> str:
        for name, since_ns in self._away_ns.items():
            state, reason = self._states[name]
            if not self._required.get(name, True) or (state in ("starting", "primed") and not self._died(name)):
                continue
            if state == "failed" or now_ns - since_ns > FAILING_S * _NS:
                return f"{name}: {reason}" if reason else name
        recent = [
            name for at_ns, name in self._deaths if now_ns - at_ns < OFTEN_S * _NS and self._required.get(name, True)
        ]
        often = next((name for name in recent if recent.count(name) >= OFTEN), "")
        return f"{often}: restarted {recent.count(often)} times in {OFTEN_S:g} s" if often else ""

    def _lost(self, now_ns: int, name: str) -> bool:
        since_ns = self._degraded_ns.get(name)
        return since_ns is not None and now_ns - since_ns > FAILING_S * _NS

    def _died(self, name: str) -> bool:
        return any(name == dead for _, dead in self._deaths)

    def _was_cut(self, now_ns: int) -> None:
        if self._audible_ns is not None and now_ns - self._audible_ns < SOON_S * _NS:
            self._cut_soon += 1
            self._audible_ns = None  # `barge_in` and `interrupted` tell of one cut
