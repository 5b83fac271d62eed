"""Events as traces: which spans a turn has, how long they are, and what becomes of events that lack their others."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.metrics import traces as core
from pipeline.metrics.spans import Span
from pipeline.metrics.traces import InOrder, Traces

pytestmark = pytest.mark.unit

MS = 1_000_000


class Bus:
    """Events at times in ms, to one `Traces`; what it gives is kept."""

    def __init__(self, **options: Any) -> None:
        self.traces = Traces("kiosk", **options)
        self.got: list[Span] = []

    def __call__(self, ms: float, name: str, /, *, src: str = "session", **body: Any) -> Bus:
        self.traces.event(int(ms * MS), src, name, body)
        self.got += self.traces.tick(int(ms * MS))
        return self

    def wait(self, ms: float) -> list[Span]:
        """Until then nothing more happens."""
        self.got += self.traces.tick(int(ms * MS))
        return self.got


def spoken(bus: Bus, turn: int = 1, at_ms: int = 0, epoch: int = 1, at: int = 0) -> Bus:
    """A question of 2 s, an answer 700 ms later that sounds for 1 s."""
    ms = at_ms
    bus(ms + 60, "speech_started", t=ms * MS)
    bus(ms + 65, "turn_started", turn=turn, kind="speech")
    bus(ms + 2330, "speech_ended", t=(ms + 2000) * MS, start_t=ms * MS)
    bus(ms + 2700, "first_audio", turn=turn, epoch=epoch, at=at, since_speech_end_ms=700)
    bus(ms + 2701, "heard", epoch=epoch, at=at, buffered_to=at)
    bus(ms + 2710, "audible", epoch=epoch, at=at, t=(ms + 2750) * MS)
    bus(ms + 2800, "latency", turn=turn, total_ms=750, service_ms=690, ours_ms=60, uplink_ms=10.0, playback_ms=50.0)
    bus(ms + 3250, "heard", epoch=epoch, at=at + 12_000, buffered_to=at + 24_000)
    bus(ms + 3300, "turn_ended", turn=turn, kind="speech", outcome="answered")
    bus(
        ms + 3301,
        "usage",
        turn=turn,
        **{"in": {"audio": 60, "text": 4}, "out": {"audio": 25, "thoughts": 5}, "usd": 0.01},
    )
    bus(ms + 3750, "heard", epoch=epoch, at=at + 24_000, buffered_to=at + 24_000)
    return bus


def outline(span: Span) -> list[tuple[str, float, float]]:
    """(name, ms after the root, ms long) of everything below."""
    return [
        (each.name, (each.start_ns - span.start_ns) / MS, (each.end_ns - each.start_ns) / MS)
        for each in list(span.walk())[1:]
    ]


def test_a_turn_is_one_trace_from_the_first_word_to_the_last_sample_heard() -> None:
    bus = Bus()
    bus(0, "connection", up=True, service="gemini", model="gemini-3.8-live", reason="", attempt=0)
    bus(0, "visit", id=7, open=True)
    (root,) = spoken(bus).wait(6000)
    assert (root.name, root.start_ns, root.end_ns) == ("turn", 0, 3750 * MS)
    assert outline(root) == [
        ("capture", 0, 2000),
        ("frontend", 2000, 330),
        ("uplink", 2000, 10),
        ("generate_content gemini-3.8-live", 2010, 1290),
        ("service", 2010, 690),
        ("playback", 2700, 50),
        ("playing", 2750, 1000),
    ]
    assert root.attributes["voice_pipeline.outcome"] == "answered"
    assert root.attributes["voice_pipeline.latency.service_ms"] == 690
    assert root.error is None
    answer = next(span for span in root.walk() if span.client)
    assert answer.attributes["gen_ai.provider.name"] == "gcp.gemini"
    assert answer.attributes["gen_ai.usage.input_tokens"] == 64
    assert answer.attributes["gen_ai.usage.output_tokens"] == 30
    assert answer.attributes["gen_ai.usage.reasoning.output_tokens"] == 5
    assert answer.attributes["gen_ai.response.time_to_first_chunk"] == 0.69
    assert {span.attributes["gen_ai.conversation.id"] for span in root.walk()} == {"7"}


def test_turns_in_one_epoch_do_not_mix() -> None:
    bus = spoken(spoken(Bus()), turn=2, at_ms=10_000, at=24_000)
    first, second = bus.wait(20_000)
    assert outline(first) == outline(second)
    assert second.start_ns == 10_000 * MS


def test_a_function_is_a_span_and_silence_while_it_runs_is_none() -> None:
    bus = Bus()
    bus(0, "turn_started", turn=1, kind="text")
    bus(500, "first_audio", turn=1, epoch=1, at=0, since_speech_end_ms=None)
    bus(510, "audible", epoch=1, at=0, t=520 * MS)
    bus(600, "tool_call", id="a", name="orders", args={"name": "Ada"}, turn=1)
    bus(610, "tool_call", id="a", name="orders", args={"name": "Ada"}, turn=1)  # said again by who took over
    bus(1000, "heard", epoch=1, at=9600, buffered_to=9600)
    bus(3600, "tool_result", src="tools", id="a", name="orders", response={"error": "no such order"})
    bus(3700, "tool_call", id="b", name="slow", args={}, turn=1)
    bus(3800, "tool_cancelled", id="b")
    bus(4000, "audible", epoch=1, at=9600, t=4010 * MS)
    bus(4500, "turn_ended", turn=1, kind="text", outcome="answered")
    bus(5010, "heard", epoch=1, at=33_600, buffered_to=33_600)
    (root,) = bus.wait(10_000)
    spans = {(span.name, (span.end_ns - span.start_ns) // MS, span.error) for span in root.walk()}
    assert ("execute_tool orders", 3000, "tool_error") in spans
    assert ("execute_tool slow", 100, "cancelled") in spans
    assert {("playing", 480, None), ("playing", 1000, None)} <= spans
    assert ("service", 500, None) in spans
    assert "Ada" not in repr(root), "no word goes out unless it may"


def test_words_go_out_when_they_may() -> None:
    bus = Bus(words=True)
    bus(0, "turn_started", turn=1, kind="text")
    bus(1, "caption", who="person", text="Where is it?", final=True, turn=1)
    bus(2, "tool_call", id="a", name="orders", args={"name": "Ada"}, turn=1)
    bus(3, "tool_result", src="tools", id="a", name="orders", response={"result": "there"})
    bus(4, "caption", who="machine", text="There.", final=True, turn=1)
    bus(5, "turn_ended", turn=1, kind="text", outcome="answered")
    (root,) = bus.wait(3000)
    attributes = {key: value for span in root.walk() for key, value in span.attributes.items()}
    assert attributes["gen_ai.tool.call.arguments"] == '{"name": "Ada"}'
    assert attributes["gen_ai.tool.call.result"] == '{"result": "there"}'
    assert "Where is it?" in str(attributes["gen_ai.input.messages"])
    assert "There." in str(attributes["gen_ai.output.messages"])


def test_who_is_spoken_over_falls_silent_in_the_trace_too() -> None:
    bus = Bus()
    bus(0, "turn_started", turn=1, kind="text")
    bus(500, "first_audio", turn=1, epoch=1, at=0, since_speech_end_ms=None)
    bus(510, "audible", epoch=1, at=0, t=520 * MS)
    bus(900, "speech_started", src="frontend", t=850 * MS)
    bus(1150, "barge_in", src="frontend", t=850 * MS, verdict="confirmed", reason="speech")
    bus(1151, "turn_ended", turn=1, kind="text", outcome="interrupted")
    bus(1152, "turn_started", turn=2, kind="speech")
    bus(1153, "flush", epoch=2, cause="barge_in")
    bus(1170, "heard", epoch=1, at=15_000, buffered_to=15_000)
    bus(1171, "interrupted", by="local", turn=1, after_ms=650, heard_text="We are")
    bus(2300, "speech_ended", src="frontend", t=2000 * MS, start_t=850 * MS)
    bus(2500, "turn_ended", turn=2, kind="speech", outcome="empty")
    first, second = bus.wait(9000)
    playing = next(span for span in first.walk() if span.name == "playing")
    assert (playing.end_ns, playing.attributes["voice_pipeline.heard_ms"]) == (1153 * MS, 625)
    assert [name for _, name, _ in first.events] == ["barge_in", "flush"]
    assert first.attributes["voice_pipeline.interrupted_by"] == "local"
    assert "We are" not in repr(first)
    assert outline(second)[0] == ("capture", 0, 1150), "what they said belongs to the next turn"


def test_a_line_that_was_down_and_a_stage_that_died_are_spans_of_the_turn_they_hit() -> None:
    bus = Bus()
    bus(0, "connection", up=True, service="gemini", reason="", attempt=0)
    bus(60, "speech_started", src="frontend", t=0)
    bus(65, "turn_started", turn=1, kind="speech")
    bus(1000, "connection", up=False, service="gemini", reason="closed 1006", kind="network", attempt=1)
    bus(1001, "stage", src="supervisor", stage="session", state="degraded", reason="no connection to gemini", inst=3)
    bus(1500, "connection", up=False, service="gemini", reason="closed 1006", kind="network", attempt=2)
    bus(2000, "connection", up=True, service="gemini", reason="", attempt=2)
    bus(2500, "stage", src="supervisor", stage="playback", state="restarting", reason="killed by SIGKILL", inst=4)
    bus(2600, "stage", src="supervisor", stage="playback", state="starting", reason="", inst=9)
    bus(2700, "stage", src="supervisor", stage="playback", state="live", reason="", inst=9)
    bus(3000, "turn_ended", turn=1, kind="speech", outcome="empty", reason="stalled")
    (root,) = bus.wait(9000)
    assert ("reconnect", 1000, 1000) in outline(root)
    assert ("restart playback", 2500, 200) in outline(root)
    assert len(root.children) == 3, "session's own word of the line says it a second time"
    reconnect = next(span for span in root.children if span.name == "reconnect")
    assert (reconnect.error, reconnect.attributes["error.type"]) == ("closed 1006", "network")
    assert [event[2]["voice_pipeline.attempt"] for event in reconnect.events] == [1, 2]
    assert root.error == "stalled"


def test_what_went_wrong_while_nobody_spoke_is_a_trace_of_its_own() -> None:
    bus = spoken(Bus())
    bus.wait(9000)
    bus(10_000, "connection", up=True, service="gemini", reason="", attempt=0)
    bus(11_000, "connection", up=False, service="gemini", reason="idle", kind="", attempt=0)  # closed on purpose
    bus(20_000, "stage", stage="capture", state="degraded", reason="unplugged", inst=1)
    bus(50_000, "stage", stage="capture", state="live", reason="", inst=2)
    _, alone = bus.wait(60_000)
    assert (alone.name, alone.end_ns - alone.start_ns) == ("degraded capture", 30_000 * MS)


def test_the_first_dial_before_the_service_listens_is_a_start_and_a_simulator_no_fault() -> None:
    bus = Bus()
    bus(0, "connection", up=False, service="simulator", reason="refused", kind="network", attempt=1)
    bus(900, "connection", up=True, service="simulator", reason="", attempt=1)
    bus(901, "stage", stage="session", state="degraded", reason="THE SIMULATOR ANSWERS, NOT GEMINI: no key", inst=1)
    assert bus.wait(60_000) == []
    assert bus.traces.finish(60_000 * MS) == []


def test_a_turn_that_another_session_takes_over_is_still_one_trace() -> None:
    bus = Bus()
    bus(60, "speech_started", src="frontend", t=0)
    bus(65, "turn_started", turn=1, kind="speech")
    bus(500, "stage", src="supervisor", stage="session", state="restarting", reason="killed", inst=1)
    bus(900, "stage", src="supervisor", stage="session", state="live", reason="", inst=2)
    bus(905, "speech_started", src="frontend", t=0)  # sticky, heard again
    bus(2300, "speech_ended", src="frontend", t=2000 * MS, start_t=0)
    bus(2700, "first_audio", turn=1, epoch=5, at=0, since_speech_end_ms=700)
    bus(2710, "audible", epoch=5, at=0, t=2720 * MS)
    bus(3000, "turn_ended", turn=1, kind="speech", outcome="answered")
    bus(3720, "heard", epoch=5, at=24_000, buffered_to=24_000)
    (root,) = bus.wait(9000)
    assert [name for name, *_ in outline(root)].count("capture") == 1
    assert ("restart session", 500, 400) in outline(root)
    assert root.error is None


def test_a_turn_that_began_before_anybody_listened_is_known_from_its_answer_on() -> None:
    bus = Bus()
    bus(2330, "speech_ended", t=2000 * MS, start_t=0)
    bus(2700, "first_audio", turn=3, epoch=1, at=0, since_speech_end_ms=700)
    bus(2710, "audible", epoch=1, at=0, t=2750 * MS)
    bus(3300, "turn_ended", turn=3, kind="speech", outcome="answered")
    bus(3750, "heard", epoch=1, at=24_000, buffered_to=24_000)
    (root,) = bus.wait(9000)
    assert [name for name, *_ in outline(root)] == [
        "capture", "frontend", "generate_content", "service", "playback", "playing",
    ]  # fmt: skip
    assert (root.start_ns, root.attributes["voice_pipeline.joined_late"]) == (0, True)
    bus(9100, "first_audio", turn=3, epoch=1, at=0, since_speech_end_ms=700)  # once given, it does not come again
    assert len(bus.traces.finish(9200 * MS)) == 0


def test_orphans_say_nothing_and_a_number_that_comes_again_is_another_turn() -> None:
    bus = Bus()
    bus(0, "turn_ended", turn=4, kind="speech", outcome="answered")
    bus(0, "usage", turn=4, **{"in": {}, "out": {}})
    bus(1, "audible", epoch=1, at=0, t=1)
    bus(1, "heard", epoch=1, at=5, buffered_to=5)
    bus(2, "tool_result", id="x", name="y", response={})
    bus(3, "speech_ended", t="soon")
    bus(3, "first_audio", turn="4")
    bus(3, "usage", turn=None, **{"in": {}, "out": {}})
    bus(3, "connection", up="yes")
    assert bus.wait(400_000) == []
    assert bus.traces.orphans == 2
    bus(500_000, "turn_started", turn=1, kind="text")
    bus(500_100, "turn_started", turn=1, kind="text")
    (lost,) = bus.wait(500_200)
    assert lost.error == "unfinished"
    assert bus.traces.pending == 1


def test_a_turn_that_never_ends_is_given_up_and_all_that_is_left_goes_out_at_the_end() -> None:
    bus = Bus()
    bus(0, "turn_started", turn=1, kind="text")
    bus(100, "tool_call", id="a", name="endless", args={}, turn=1)
    assert bus.wait(core.QUIET_NS / MS) == []
    (root,) = bus.wait(core.QUIET_NS / MS + 200)
    assert {span.error for span in root.walk() if span.name in ("turn", "execute_tool endless")} == {"unfinished"}
    bus(400_000, "turn_started", turn=2, kind="text")
    bus(400_100, "connection", up=False, service="gemini", reason="closed", kind="network", attempt=1)
    assert [span.name for span in bus.traces.finish(400_200 * MS)] == ["turn", "reconnect"]
    assert bus.traces.pending == 0


def test_thousands_of_turns_whole_or_torn_fill_no_memory() -> None:
    bus = Bus()
    for number in range(3000):
        at_ms = 20_000 * number
        if number % 3:
            spoken(bus, turn=number, at_ms=at_ms, epoch=number)
        else:  # nothing of it ever ends
            bus(at_ms, "speech_started", t=at_ms * MS)
            bus(at_ms + 5, "turn_started", turn=number, kind="speech")
            for call in range(100):
                bus(at_ms + call, "tool_call", id=f"{number}-{call}", name="f", args={}, turn=number)
                bus(at_ms + call, "speech_started", t=(at_ms + call) * MS)
        bus(at_ms + 9000, "connection", up=False, reason="closed", kind="network", attempt=1, service="gemini")
        bus(at_ms + 9100, "stage", stage=f"made-up-{number}", state="failed", reason="", inst=number)
        assert bus.traces.pending <= core.PENDING
        assert sum(1 for span in bus.got for _ in span.walk()) < 3000
        bus.got.clear()
    inner = bus.traces
    assert len(inner._spoken) <= core.SPOKEN
    assert len(inner._outages._open) + len(inner._outages._ended) < 100
    assert len(inner._over_ns) <= core.PENDING


def test_events_of_several_stages_are_put_into_the_order_in_which_they_were_sent() -> None:
    order = InOrder()
    order.push(100 * MS, 90 * MS, "second")
    order.push(101 * MS, 80 * MS, "first")
    order.push(102 * MS, 9_000_000 * MS, "a wrong clock")
    assert order.ready(300 * MS) == []
    assert [item for _, item in order.ready(700 * MS)] == ["first", "second", "a wrong clock"]
    for number in range(core.HELD + 10):
        order.push(0, 0, number)
    assert len(order.ready(0)) == 10
    assert len(order) == core.HELD
