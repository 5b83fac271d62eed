"""What stages print becomes log events: once, in bounds, the last lines kept."""

import pytest

from pipeline.supervisor.stderr import BURST_LINES, LINE_BYTES, LINES_A_S, TAIL_LINES, Said, Voice, as_event

pytestmark = pytest.mark.unit


def test_lines_come_whole_however_they_are_cut() -> None:
    voice = Voice()
    assert voice.feed(b"one\ntw", 0.0) == [Said("stage said", fields={"line": "one"})]
    assert voice.feed(b"o\n\n", 0.0) == [Said("stage said", fields={"line": "two"})]
    assert voice.feed(b"no end", 0.0) == []
    assert voice.close(0.1)[0].fields == {"line": "no end"}


def test_a_log_line_of_a_stage_is_the_event_it_was() -> None:
    line = b'{"timestamp": "2026-01-01", "level": "warning", "event": "turn ended", "turn": 3}\n'
    assert Voice().feed(line, 0.0) == [Said("turn ended", "warning", {"timestamp": "2026-01-01", "turn": 3})]


@pytest.mark.parametrize("text", ["{", "{}", '{"event": 3}', "[1]", '{"a": 1}'])
def test_other_json_is_text(text: str) -> None:
    assert as_event(text) == Said("stage said", fields={"line": text})


def test_a_flood_of_one_line_is_said_once_and_counted() -> None:
    voice, said = Voice(), []
    for turn in range(20):
        said += voice.feed(b"Expression 'ready' failed\n" * 1000, turn / 10)
    said += voice.close(2.0)
    assert [line.event for line in said].count("stage said") == 2
    assert sum(line.fields.get("times", 1) for line in said) == 20_000
    assert list(voice.tail) == ["Expression 'ready' failed"] * 2


def test_a_flood_of_different_lines_is_limited_and_the_rest_counted() -> None:
    voice, said, fed = Voice(), [], 0
    for turn in range(100):
        said += voice.feed(b"".join(b"line %d\n" % (fed + n) for n in range(100)), turn / 10)
        fed += 100
    said += voice.close(10.0)
    shown = [line for line in said if line.event == "stage said"]
    assert len(shown) == pytest.approx(BURST_LINES + LINES_A_S * 9.9, abs=1)
    assert len(shown) + sum(line.fields.get("lines_dropped", 0) for line in said) == fed
    assert [line.event for line in said].count("stage says too much") == pytest.approx(10, abs=1), "once a second"
    assert list(voice.tail) == [f"line {fed - TAIL_LINES + n}" for n in range(TAIL_LINES)]


def test_a_traceback_passes_whole() -> None:
    said = Voice().feed(b"".join(b'  File "x.py", line %d\n' % n for n in range(60)), 0.0)
    assert len(said) == 60


def test_bytes_without_a_line_end_are_bounded() -> None:
    voice = Voice()
    for _ in range(1000):
        voice.feed(b"x" * 1000, 0.0)
    assert all(len(line) <= LINE_BYTES for line in voice.tail)
    assert len(voice._rest) <= LINE_BYTES


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    assert Voice().feed(b"\xff\xfe\n", 0.0)[0].fields == {"line": "\ufffd\ufffd"}
