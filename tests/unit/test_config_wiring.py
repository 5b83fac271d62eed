"""Who reads whom, in which order, and one error for each thing that does not fit."""

import pytest

from pipeline.config.wiring import Place, flow_order, wire

pytestmark = pytest.mark.unit

CAPTURE = Place("capture", ("mic",), where="k.yaml:3")
FRONTEND = Place("frontend", ("voice",), ("mic", "played"), where="k.yaml:4")
SESSION = Place("session", ("reply",), ("voice",), where="k.yaml:5")
PLAYBACK = Place("playback", ("played",), ("reply",), where="k.yaml:6")
KIOSK = [CAPTURE, FRONTEND, SESSION, PLAYBACK]


def errors(*places: Place) -> list[str]:
    found = wire(places)[1]
    assert len({str(error) for error in found}) == len(found)
    return [f"{'.'.join(e.path)}: {e.problem} | {e.expected} | {e.nearest} | {e.remedy}" for e in found]


def session(**inputs: str) -> Place:
    return Place("session", ("reply",), ("voice",), inputs, "k.yaml:5")


def test_inputs_wire_themselves_by_the_name_of_the_stream() -> None:
    wires, found = wire(KIOSK)
    assert not found
    assert wires == {
        "capture": {},
        "frontend": {"mic": "capture", "played": "playback"},
        "session": {"voice": "frontend"},
        "playback": {"reply": "session"},
    }


def test_the_order_is_that_of_the_audio_whatever_the_file_says() -> None:
    places = [Place("lamp"), PLAYBACK, SESSION, Place("simulator"), FRONTEND, Place("tools"), CAPTURE]
    assert flow_order(places, wire(places)[0]) == [
        "simulator", "capture", "frontend", "session", "playback", "lamp", "tools",
    ]  # fmt: skip


def test_a_pipeline_without_a_speaker_does_without_feedback() -> None:
    wires, found = wire([CAPTURE, FRONTEND, SESSION])
    assert not found
    assert wires["frontend"] == {"mic": "capture"}


def test_a_filter_never_feeds_itself() -> None:
    gain = Place("gain", ("voice",), ("voice",), where="k.yaml:9")
    wires, found = wire([*KIOSK[:2], gain, session(voice="gain/voice"), PLAYBACK])
    assert not found
    assert wires["gain"] == {"voice": "frontend"}
    assert wires["session"] == {"voice": "gain"}
    assert flow_order([gain, *KIOSK], wires).index("gain") == 2


def test_two_filters_in_a_row() -> None:
    gain = Place("gain", ("voice",), ("voice",), {"voice": "frontend/voice"})
    echo = Place("echo", ("voice",), ("voice",), {"voice": "gain/voice"})
    places = [echo, gain, session(voice="echo/voice"), CAPTURE, FRONTEND]
    wires, found = wire(places)
    assert not found
    assert flow_order(places, wires) == ["capture", "frontend", "gain", "echo", "session"]


def test_two_producers_are_both_named_with_what_to_write() -> None:
    gain = Place("gain", ("voice",), ("voice",), where="k.yaml:9")
    (error,) = errors(*KIOSK, gain)
    assert error == (
        "stages.session: reads 'voice', and 2 stages emit it: frontend (k.yaml:4) and gain (k.yaml:9) |  |  | "
        "say which: inputs: {voice: gain/voice}"
    )


def test_two_speakers_are_two_producers_of_the_feedback() -> None:
    (error,) = errors(*KIOSK, Place("second", ("played",), ("reply",), where="k.yaml:9"))
    assert "inputs: {played: second/played}" in error


def test_a_stream_that_nobody_produces() -> None:
    (error,) = errors(FRONTEND, SESSION)
    assert error.startswith("stages.frontend: reads 'mic', and no stage emits it; the streams are reply | ")
    (error,) = errors(Place("capture", ("mik",)), FRONTEND)
    assert "| mic" not in error
    assert "| mik |" in error


def test_nothing_is_said_of_streams_while_a_stage_is_not_known() -> None:
    assert errors(Place("capture", known=False), FRONTEND, SESSION) == []
    assert errors(Place("capture", known=False), Place("x", (), ("mic",), {"mic": "capture/mic"})) == []


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        ({"voice": "frontnd/voice"}, ["inputs.voice: there is no stage 'frontnd'", "| frontend/voice |"]),
        ({"voice": "frontend/voise"}, ["frontend (k.yaml:4) emits no 'voise'", "| frontend/voice |"]),
        ({"voice": "capture/voice"}, ["capture (k.yaml:3) emits no 'voice'", "one that it emits: mic"]),
        ({"voice": "frontend"}, ["got 'frontend'", "STAGE/STREAM", "| frontend/voice |"]),
        ({"voice": "/voice"}, ["STAGE/STREAM"]),
        ({"voice": "session/voice"}, ["can't read itself"]),
        ({"voise": "frontend/voice"}, ["session reads no 'voise'", "| voice |"]),
        ({"voice": "capture/mic"}, ["a stream keeps its name"]),
    ],
)
def test_inputs_that_name_nothing(inputs: dict[str, str], parts: list[str]) -> None:
    (error,) = errors(CAPTURE, FRONTEND, session(**inputs), PLAYBACK)
    for part in parts:
        assert part in error


def test_a_program_hears_what_its_inputs_name() -> None:
    lamp = Place("lamp", (), None, {"voice": "frontend/voice", "reply": "session/reply"})
    wires, found = wire([*KIOSK, lamp])
    assert not found
    assert wires["lamp"] == {"voice": "frontend", "reply": "session"}
    assert errors(*KIOSK, Place("lamp", (), None, {"mic": "frontend/voice"}))[0].endswith(
        "write `voice: frontend/voice`"
    )


def test_a_circle_is_one_error_however_long() -> None:
    a = Place("a", ("x",), ("z",))
    b = Place("b", ("y",), ("x",))
    c = Place("c", ("z",), ("y",))
    (error,) = errors(a, b, c, *KIOSK)
    assert error.startswith("stages.a.inputs.z: the audio goes in a circle: ")
    assert {" → ".join(way) in error for way in (["b", "c", "a", "b"], ["a", "b", "c", "a"], ["c", "a", "b", "c"])} == {
        True,
        False,
    }
    assert len(flow_order([a, b, c], wire([a, b, c])[0])) == 3


def test_two_filters_that_read_each_other_are_a_circle() -> None:
    gain = Place("gain", ("voice",), ("voice",), {"voice": "echo/voice"})
    echo = Place("echo", ("voice",), ("voice",), {"voice": "gain/voice"})
    (error,) = errors(gain, echo)
    assert "gain → echo → gain" in error or "echo → gain → echo" in error


def test_a_thousand_stages_in_a_row_are_no_recursion() -> None:
    places = [Place(f"s{i}", (f"x{i + 1}",), (f"x{i}",) if i else ()) for i in range(1200)]
    wires, found = wire(places)
    assert not found
    assert flow_order(places[::-1], wires)[0] == "s0"
