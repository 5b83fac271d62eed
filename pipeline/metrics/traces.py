"""Events of the bus as traces, one a turn. Pure: it is told the time, and gives traces when they are whole.

Events are to be given in the order in which they were sent (`InOrder`): they come from several stages.
"""

from __future__ import annotations

import heapq
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pipeline.metrics.outages import Outages
from pipeline.metrics.spans import OURS, Span, short
from pipeline.metrics.turn_trace import Service, Sound, Turn, Utterance

HOLD_NS: Final = 500_000_000
"""So long an event waits for those of other stages that were sent before it."""
HELD: Final = 5000
"""Events that wait at most; over it the oldest is given at once."""
LINGER_NS: Final = 2_000_000_000
"""So long after its end a turn waits for what is told late: usage, latency."""
QUIET_NS: Final = 300_000_000_000
"""A turn in which nothing happens for so long has lost its end."""
PENDING: Final = 8
"""Turns under way; over it the oldest is given as it is."""
SPOKEN: Final = 8
"""Stretches of speech that belong to no turn yet; over it the oldest is forgotten."""
BEGINS: Final = ("first_audio", "tool_call")
"""A turn that began before anybody listened is known from these on."""
WANTED: Final = frozenset(
    (
        "speech_started", "speech_ended", "answered", "turn_started", "turn_ended", "first_audio", "audible", "heard",
        "flush", "interrupted", "barge_in", "talked_over", "underrun", "usage", "latency", "caption", "tool_call",
        "tool_result", "tool_cancelled", "connection", "stage", "visit",
    )
)  # fmt: skip
"""Events that say something here."""


class InOrder:
    """Gives events in the order in which they were sent."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Any]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, now_ns: int, sent_ns: int, item: Any) -> None:
        """One came. A time that has not come yet is a wrong clock's."""
        self._count += 1
        heapq.heappush(self._heap, (min(sent_ns, now_ns), self._count, item))

    def ready(self, now_ns: int, hold_ns: int = HOLD_NS) -> list[tuple[int, Any]]:
        """(sent, item) of those before which nothing is to be expected any more."""
        found = []
        while self._heap and (self._heap[0][0] <= now_ns - hold_ns or len(self._heap) > HELD):
            sent_ns, _, item = heapq.heappop(self._heap)
            found.append((sent_ns, item))
        return found


class Traces:
    """`agent`: this machine's name. `run`: makes the numbers of visits its own. `words`: what was said may be told."""

    def __init__(self, agent: str = "", run: str = "", *, words: bool = False) -> None:
        self._agent, self._run, self._words = agent, run, words
        self._turns: dict[int, Turn] = {}
        """Oldest first."""
        self._over_ns: dict[int, int] = {}
        self._newest = -1
        """The turn that began last."""
        self._spoken: deque[Utterance] = deque(maxlen=SPOKEN)
        self._outages = Outages()
        self._service = Service()
        self._done: list[Span] = []
        self.orphans = 0
        """Events of turns that nobody knows: the turn began before anybody listened, or was given up."""

    @property
    def pending(self) -> int:
        """Turns under way."""
        return len(self._turns)

    def event(self, now_ns: int, src: str, name: str, body: Mapping[str, Any]) -> None:
        """An event, sent at `now_ns`; one whose fields are not as agreed says nothing."""
        match name, body:
            case "connection", {"up": bool(up)}:
                self._connection(now_ns, src, up, body)
            case "stage", {"stage": str(stage), "state": str(state)}:
                self._outages.stage(now_ns, stage, state, str(body.get("reason") or ""))
            case "visit", {"id": int(visit), "open": bool()}:
                self._service = replace(self._service, conversation=f"{self._run}-{visit}" if self._run else str(visit))
            case (("speech_started" | "speech_ended" | "answered"), {"t": int(t)}):
                self._speech(now_ns, name, t, body.get("start_t"))
            case (("audible" | "heard"), {"epoch": int(epoch), "at": int(at)}):
                self._sound(now_ns, name, epoch, at, body)
            case "flush", {"epoch": int(epoch), "cause": str(cause)}:
                self._flush(now_ns, epoch, cause)
            case (("barge_in" | "underrun"), _):
                self._beside(now_ns, name, body)
            case (("tool_result" | "tool_cancelled"), {"id": str(call_id)}):
                self._settled(now_ns, name, call_id, body)
            case "turn_started", {"turn": int(number), "kind": str(kind)}:
                self._start(now_ns, number, kind)
            case _, {"turn": int(number)}:
                self._of_turn(now_ns, name, number, body)

    def tick(self, now_ns: int) -> list[Span]:
        """Traces that are whole by now."""
        for number, turn in list(self._turns.items()):
            if turn.over(now_ns):
                over_ns = self._over_ns.setdefault(number, now_ns)
                if now_ns - max(over_ns, turn.touched_ns) >= LINGER_NS:
                    self._close(number, now_ns)
            else:
                self._over_ns.pop(number, None)
                if now_ns - turn.touched_ns > QUIET_NS:
                    self._close(number, now_ns)
        self._done += [] if self._turns else self._outages.stray(now_ns)
        done, self._done = self._done, []
        return done

    def finish(self, now_ns: int) -> list[Span]:
        """Everything, as it is."""
        for number in list(self._turns):
            self._close(number, now_ns)
        done, self._done = self._done + self._outages.close(now_ns), []
        return done

    # -- turns

    def _start(self, now_ns: int, number: int, kind: str) -> None:
        if number in self._turns:  # another visit's, or another store's
            self._close(number, now_ns)
        turn = self._turns[number] = Turn(number, kind, now_ns, self._service, now_ns)
        self._newest = number
        if kind == "speech":
            turn.utterances += self._spoken
            self._spoken.clear()
        while len(self._turns) > PENDING:
            self._close(next(iter(self._turns)), now_ns)

    def _close(self, number: int, now_ns: int) -> None:
        turn = self._turns.pop(number)
        self._over_ns.pop(number, None)
        end_ns = max(turn.touched_ns, turn.ended_ns or 0)
        self._done.append(turn.trace(now_ns, self._outages.hit(turn.start_ns, end_ns), self._agent))

    def _of_turn(self, now_ns: int, name: str, number: int, body: Mapping[str, Any]) -> None:
        if number not in self._turns and number > self._newest and name in BEGINS:
            self._start(now_ns, number, "speech" if self._spoken else "")
            self._turns[number].told[f"{OURS}.joined_late"] = True
        turn = self._turns.get(number)
        if turn is None:
            self.orphans += 1
            return
        turn.touched_ns = now_ns
        match name, body:
            case "turn_ended", {"outcome": str(outcome)}:
                turn.ended_ns, turn.outcome, turn.reason = now_ns, outcome, str(body.get("reason") or "")
                turn.kind = turn.kind or str(body.get("kind") or "")
            case "first_audio", {"epoch": int(epoch), "at": int(at)}:
                self._first_audio(now_ns, turn, epoch, at, body.get("since_speech_end_ms"))
            case "usage", {"in": dict(taken), "out": dict(given)}:
                turn.used(taken, given, body.get("usd"))
            case "latency", {"uplink_ms": int(uplink_ms) | float(uplink_ms)}:
                turn.uplink_ms = uplink_ms
                for key in ("total_ms", "service_ms", "ours_ms", "uplink_ms", "playback_ms"):
                    if isinstance(value := body.get(key), int | float):
                        turn.told[f"{OURS}.latency.{key}"] = value
            case "interrupted", {"by": str(by)}:
                turn.told[f"{OURS}.interrupted_by"] = by
            case "talked_over", {"ms": int(ms) | float(ms)}:
                turn.told[f"{OURS}.talked_over_ms"] = ms
            case "tool_call", {"id": str(call_id), "name": str(tool)}:
                turn.call(now_ns, call_id, tool, self._json(body.get("args")))
            case "caption", {"who": str(who), "text": str(text), "final": True} if self._words:
                way, role = ("input", "user") if who == "person" else ("output", "assistant")
                message = [{"role": role, "parts": [{"type": "text", "content": short(text)}]}]
                turn.words[f"gen_ai.{way}.messages"] = json.dumps(message, ensure_ascii=False)

    def _first_audio(self, now_ns: int, turn: Turn, epoch: int, at: int, since_ms: Any) -> None:
        for other in self._turns.values():
            place = other.place
            if other is not turn and place is not None and place[0] == epoch and place[1] <= at:
                other.until_at = at if other.until_at is None else other.until_at
        turn.place, turn.cut = (epoch, at), False
        if not turn.sounds:  # told again, it is a session's that took the turn over: the rest of what was begun
            turn.first_ns, turn.since_ms = now_ns, since_ms if isinstance(since_ms, int | float) else None

    def _json(self, value: Any) -> str | None:
        return str(short(json.dumps(value, ensure_ascii=False, default=str))) if self._words else None

    def _settled(self, now_ns: int, name: str, call_id: str, body: Mapping[str, Any]) -> None:
        for turn in self._turns.values():
            tool = turn.tools.get(call_id)
            if tool is not None and tool.end_ns is None:
                tool.end_ns = turn.touched_ns = now_ns
                response = body.get("response")
                if name == "tool_cancelled":
                    tool.error = "cancelled"
                elif isinstance(response, dict) and "error" in response:
                    tool.error = "tool_error"
                tool.result = self._json(response) if name == "tool_result" else None
                return

    # -- the person

    def _speech(self, now_ns: int, name: str, t: int, start_t: Any) -> None:
        if name == "answered":
            self._spoken = deque((each for each in self._spoken if each.end_ns is None or each.end_ns > t), SPOKEN)
            return
        turn = self._asking()
        known = [*(each for other in self._turns.values() for each in other.utterances), *self._spoken]
        if name == "speech_started":
            if all(each.start_ns != t for each in known):
                self._said(now_ns, turn, Utterance(t))
            return
        begun = start_t if isinstance(start_t, int) else t
        for each in reversed(known):
            if each.end_ns is None and (each.start_ns == begun or not isinstance(start_t, int)):
                each.end_ns, each.known_ns = t, now_ns
                break
        else:
            self._said(now_ns, turn, Utterance(begun, t, now_ns))
        if turn is not None:
            turn.touched_ns = now_ns

    def _said(self, now_ns: int, turn: Turn | None, utterance: Utterance) -> None:
        if turn is None:
            self._spoken.append(utterance)
        else:
            turn.touched_ns = now_ns
            turn.add(turn.utterances, utterance)

    def _asking(self) -> Turn | None:
        """The turn that speech belongs to: a spoken one that has no answer yet."""
        newest = next(reversed(self._turns.values()), None)
        asking = newest is not None and newest.kind == "speech" and newest.first_ns is None and newest.ended_ns is None
        return newest if asking and newest is not None and not newest.tools else None

    # -- the machine

    def _sound(self, now_ns: int, name: str, epoch: int, at: int, body: Mapping[str, Any]) -> None:
        self._silence(now_ns, epoch)
        if name == "audible":
            owner = None
            for turn in self._turns.values():
                if turn.place is not None and turn.place[0] == epoch and turn.place[1] <= at:
                    owner = turn
            if owner is None or not isinstance(t := body.get("t"), int):
                return
            if (before := owner.sounding) is not None:  # its end was lost with the process that knew it
                before.end_ns = max(before.start_ns, min(owner.touched_ns, t))
            owner.touched_ns = now_ns
            owner.add(owner.sounds, Sound(t, epoch, at, heard_at=at))
            return
        buffered_to = body.get("buffered_to")
        for turn in self._turns.values():
            sound = turn.sounds[-1] if turn.sounds else None
            if sound is None or sound.epoch != epoch or at <= sound.at:
                continue
            sound.heard_at = at if turn.until_at is None else min(at, turn.until_at)
            if sound.end_ns is not None:
                continue
            turn.touched_ns = now_ns
            if turn.until_at is not None and at >= turn.until_at:
                sound.end_ns, turn.cut = now_ns, True
            elif isinstance(buffered_to, int) and at >= buffered_to:
                sound.end_ns = max(sound.start_ns, now_ns)

    def _silence(self, now_ns: int, epoch: int) -> None:
        """What belongs to an older epoch sounds no more."""
        for turn in self._turns.values():
            if turn.place is not None and turn.place[0] < epoch and not turn.cut:
                turn.cut, turn.touched_ns = True, now_ns
                if (sound := turn.sounding) is not None:
                    sound.end_ns = max(sound.start_ns, now_ns)

    def _flush(self, now_ns: int, epoch: int, cause: str) -> None:
        for turn in self._turns.values():
            if turn.place is not None and turn.place[0] < epoch and turn.sounding is not None:
                turn.moment(now_ns, "flush", cause=cause, epoch=epoch)
        self._silence(now_ns, epoch)

    def _beside(self, now_ns: int, name: str, body: Mapping[str, Any]) -> None:
        """What happens while something sounds."""
        for turn in reversed(self._turns.values()):
            if turn.sounding is not None:
                keys = ("verdict", "reason", "missing_ms")
                turn.moment(now_ns, name, **{key: body[key] for key in keys if isinstance(body.get(key), str | int)})
                return

    def _connection(self, now_ns: int, src: str, up: bool, body: Mapping[str, Any]) -> None:
        attempt = body.get("attempt")
        self._outages.connection(
            now_ns,
            src,
            up=up,
            reason=str(body.get("reason") or ""),
            kind=str(body.get("kind") or ""),
            attempt=attempt if isinstance(attempt, int) else 0,
        )
        self._service = replace(
            self._service, provider=str(body.get("service") or ""), model=str(body.get("model") or "")
        )
        for turn in self._turns.values():
            turn.service = replace(self._service, conversation=turn.service.conversation)
            if up and turn.ended_ns is None:
                turn.moment(now_ns, "connection", up=True)
