"""What is known of one turn, and the trace that it makes:

```
turn                          from the first word (or the text) until its answer was heard to the end
├ capture                     somebody speaks; one for each stretch of speech
├ frontend                    from the end of speech until it is known that it was the end
├ uplink                      how late the voice comes to the service
├ generate_content MODEL      from the end of speech, at the service, until all of the answer is here
│ └ service                   until the first byte of sound
├ execute_tool NAME           a function
├ playback                    first byte to first audible sample
├ playing                     what sounds, a span for each stretch without silence
└ reconnect, restart STAGE    what went wrong meanwhile
```

Pure; times are ns of the supervisor's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.metrics.spans import EVENTS, OURS, Span, Value

PROVIDERS: Final = {"gemini": "gcp.gemini", "vertex": "gcp.vertex_ai"}
"""Of our `service`; others are themselves."""
FAILED: Final = ("stalled",)
"""Reasons for which a turn counts as failed: an answer should have come."""
PARTS: Final = 32
"""Stretches of speech, tools and stretches of sound of one turn, each; the rest is counted."""
AUDIBLE_NS: Final = 10_000_000_000
"""An answer that is not audible so long after its first byte was silenced before."""


@dataclass(slots=True)
class Utterance:
    """A stretch of speech."""

    start_ns: int
    end_ns: int | None = None
    """In the audio."""
    known_ns: int = 0
    """When it was known that it had ended."""


@dataclass(slots=True)
class Tool:
    """A call of a function."""

    name: str
    start_ns: int
    args: str | None
    """As JSON; None: nobody may know."""
    end_ns: int | None = None
    error: str | None = None
    result: str | None = None


@dataclass(slots=True)
class Sound:
    """A stretch of an answer at the speaker."""

    start_ns: int
    epoch: int
    at: int
    """Its place in the epoch, samples of 24 kHz."""
    end_ns: int | None = None
    heard_at: int = 0


@dataclass(slots=True)
class Service:
    """Who answers."""

    provider: str = ""
    model: str = ""
    conversation: str = ""


@dataclass
class Turn:
    """Facts, as they come."""

    number: int
    kind: str
    started_ns: int
    service: Service
    touched_ns: int = 0
    """When something last happened in it."""
    utterances: list[Utterance] = field(default_factory=list)
    tools: dict[str, Tool] = field(default_factory=dict)
    sounds: list[Sound] = field(default_factory=list)
    left_out: int = 0
    place: tuple[int, int] | None = None
    """Epoch and place of its first sample."""
    until_at: int | None = None
    """Where the answer of a later turn begins, in the same epoch."""
    cut: bool = False
    """Nothing more of it will sound."""
    first_ns: int | None = None
    """When `first_audio` was told."""
    since_ms: float | None = None
    uplink_ms: float | None = None
    ended_ns: int | None = None
    outcome: str = ""
    reason: str = ""
    tokens: dict[str, Value] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    """What the person and the machine said, if that may be told."""
    told: dict[str, Value] = field(default_factory=dict)
    """Further attributes of the turn."""
    moments: list[tuple[int, str, dict[str, Value]]] = field(default_factory=list)

    @property
    def start_ns(self) -> int:
        """When it began: with the first word, if there was one."""
        return min([self.started_ns, *(each.start_ns for each in self.utterances)])

    @property
    def asked_ns(self) -> int:
        """From when on the service is waited for: the end of speech, or the text."""
        ends = [each.end_ns for each in self.utterances if each.end_ns is not None]
        return ends[-1] if ends else self.started_ns

    @property
    def sounding(self) -> Sound | None:
        """What is at the speaker."""
        return self.sounds[-1] if self.sounds and self.sounds[-1].end_ns is None else None

    def over(self, now_ns: int) -> bool:
        """Whether all of it has happened, as far as is known."""
        if self.ended_ns is None or any(tool.end_ns is None for tool in self.tools.values()):
            return False
        if self.first_ns is None or self.cut:
            return True
        return self.sounding is None if self.sounds else now_ns - self.first_ns > AUDIBLE_NS

    def add(self, parts: list[Any], part: Any) -> None:
        """A part, unless there are too many."""
        if len(parts) < PARTS:
            parts.append(part)
        else:
            self.left_out += 1

    def moment(self, ns: int, name: str, **attributes: Value) -> None:
        """Something worth a mark."""
        if len(self.moments) < EVENTS:
            self.moments.append((ns, name, attributes))

    def call(self, now_ns: int, call_id: str, name: str, args: str | None) -> None:
        """A function is called; said a second time, it is the same call."""
        if call_id not in self.tools and len(self.tools) < PARTS:
            self.tools[call_id] = Tool(name, now_ns, args)

    def used(self, taken: Mapping[str, Any], given: Mapping[str, Any], usd: Any) -> None:
        """Tokens by kind, and what they cost."""
        for way, counts in (("input", taken), ("output", given)):
            for kind, count in counts.items():
                if isinstance(count, int) and not isinstance(count, bool):
                    self._count(f"gen_ai.usage.{way}_tokens", count)
                    self._count(f"{OURS}.usage.{way}_tokens.{str(kind)[:20]}", count)
                    if kind == "thoughts":
                        self._count("gen_ai.usage.reasoning.output_tokens", count)
        if isinstance(usd, int | float):
            self._count(f"{OURS}.usage.usd", usd)

    def _count(self, name: str, more: float) -> None:
        before = self.tokens.get(name, 0)
        self.tokens[name] = more + (before if isinstance(before, int | float) else 0)

    # -- the trace

    def trace(self, now_ns: int, outages: list[Span], agent: str) -> Span:
        """All of it. What has not ended yet ends at `now_ns`, and is said so."""
        root = Span("turn", self.start_ns, self.ended_ns or self.touched_ns)
        root.attributes |= {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent}
        root.said(turn=self.number, kind=self.kind or None, outcome=self.outcome or None, reason=self.reason or None)
        root.said(parts_left_out=self.left_out or None)
        root.attributes |= self.told
        self._ears(root)
        self._service(root)
        self._tools(root, now_ns)
        self._mouth(root, now_ns)
        for span in outages:
            root.children.append(span)
            root.end_ns = max(root.end_ns, span.end_ns)
        for ns, name, attributes in sorted(self.moments, key=lambda moment: moment[0]):
            root.mark(ns, name, **attributes)
        if self.ended_ns is None:
            root.error = root.attributes["error.type"] = "unfinished"
        elif self.reason in FAILED:
            root.error = root.attributes["error.type"] = self.reason
        for span in root.walk() if self.service.conversation else ():
            span.attributes["gen_ai.conversation.id"] = self.service.conversation
        root.children.sort(key=lambda span: span.start_ns)
        return root

    def _ears(self, root: Span) -> None:
        for each in self.utterances:
            heard = root.child("capture", each.start_ns, each.start_ns if each.end_ns is None else each.end_ns)
            if each.end_ns is None:
                heard.error = heard.attributes["error.type"] = "unfinished"
            else:
                root.child("frontend", each.end_ns, each.known_ns)
        if self.uplink_ms is not None:
            root.child("uplink", self.asked_ns, self.asked_ns + round(self.uplink_ms * 1e6))

    def _service(self, root: Span) -> None:
        if self.first_ns is None and self.outcome != "answered" and not self.tools:
            return  # nobody knows that the service was asked at all
        asked_ns = self.asked_ns + round((self.uplink_ms or 0.0) * 1e6)
        model = self.service.model
        ended_ns = max(self.ended_ns or self.touched_ns, self.first_ns or 0)
        answer = root.child(f"generate_content {model}".strip(), asked_ns, ended_ns, client=True)
        answer.attributes |= {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": PROVIDERS.get(self.service.provider, self.service.provider or "unknown"),
            "gen_ai.output.type": "speech",
            "gen_ai.request.stream": True,
            **({"gen_ai.request.model": model} if model else {}),
            **self.tokens,
            **self.words,
        }
        if self.first_ns is not None:
            first_ns = self.first_ns if self.since_ms is None else self.asked_ns + round(self.since_ms * 1e6)
            waited = answer.child("service", asked_ns, first_ns)
            answer.attributes["gen_ai.response.time_to_first_chunk"] = (waited.end_ns - waited.start_ns) / 1e9

    def _tools(self, root: Span, now_ns: int) -> None:
        for call_id, tool in self.tools.items():
            end_ns = now_ns if tool.end_ns is None else tool.end_ns
            span = root.child(f"execute_tool {tool.name}", tool.start_ns, end_ns)
            span.attributes |= {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": tool.name,
                "gen_ai.tool.call.id": call_id,
                "gen_ai.tool.type": "function",
                **({"gen_ai.tool.call.arguments": tool.args} if tool.args is not None else {}),
                **({"gen_ai.tool.call.result": tool.result} if tool.result is not None else {}),
            }
            span.error = "unfinished" if tool.end_ns is None else tool.error
            if span.error:
                span.attributes["error.type"] = span.error

    def _mouth(self, root: Span, now_ns: int) -> None:
        if self.first_ns is not None and self.sounds:  # told late, the first byte may be audible already
            root.child("playback", min(self.first_ns, self.sounds[0].start_ns), self.sounds[0].start_ns)
        for each in self.sounds:
            span = root.child("playing", each.start_ns, now_ns if each.end_ns is None else each.end_ns)
            span.said(heard_ms=max(0, each.heard_at - each.at) // 24)
            if each.end_ns is None:
                span.error = span.attributes["error.type"] = "unfinished"
