"""Scripts: what they say, and what is said about them when they are wrong."""

import re
from pathlib import Path

import pytest

from pipeline.simulator.clips import FOLDER, RATE, clip, decode, table
from pipeline.simulator.fault import MOMENTS, Close, GoAway
from pipeline.simulator.memory import Memory
from pipeline.simulator.replies import for_speech, for_text
from pipeline.simulator.script import Call, Limits, fill, fill_all
from pipeline.simulator.script_faults import ACTS, CLOSES
from pipeline.simulator.script_file import DEFAULT, load_script
from pipeline.simulator.script_place import ScriptError

pytestmark = pytest.mark.unit


def write(folder: Path, text: str) -> Path:
    path = folder / "script.yaml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "is empty"),
        ("a: [", 1, "is not YAML"),
        ("- a", 1, "expected a table"),
        ("think_ms: 3", 1, "`version: 1` is missing"),
        ("version: 2", 1, "version: expected version 1"),
        ("version: 1\nthink_sm: 3", 2, "think_sm: unknown key; did you mean `think_ms`?"),
        ("version: 1\nthink_ms: 3\nthink_ms: 4", 3, "think_ms: is given twice"),
        ("version: 1\nthink_ms: soon", 2, "think_ms: expected a whole number from 0"),
        ("version: 1\nspeed: 0", 2, "speed: expected a number from 0.05"),
        ("version: 1\nchunk_bytes: [3]", 2, "chunk_bytes: expected sizes in bytes, each a multiple of 2"),
        ("version: 1\nspoken: hello", 2, "spoken: expected a list"),
        ("version: 1\nspoken:\n  - heard: hi", 3, "spoken[0]: expected `say`"),
        ("version: 1\nspoken:\n  - say: '{reslt}'", 3, "say: nothing fills {reslt}"),
        ("version: 1\nspoken:\n  - {say: a, wav: no.wav}", 3, "wav: there is no file"),
        ("version: 1\ntext:\n  - {say: a, match: '('}", 3, "match: is no regular expression"),
        ("version: 1\ntext:\n  - {say: a, heard: b}", 3, "heard: unknown key; known here: say"),
        ("version: 1\ntext:\n  - {say: a, b}", 3, "b: has no value; within { } a text that holds a comma needs quotes"),
        ("version: 1\ntext:\n  - call: {args: {}}", 3, "call: `function` is missing"),
        ("version: 1\ntext:\n  - call: {function: f, args: [1]}", 3, "args: expected a table"),
        ("version: 1\nfaults:\n  - {when: never, close: {code: 1011}}", 3, "when: expected one of start, now, dial"),
        ("version: 1\nfaults:\n  - {when: setup}", 3, "faults[0]: expected exactly one of `close`, `go_away_ms`"),
        ("version: 1\nfaults:\n  - {when: setup, close: {code: 1005}}", 3, "code: no server can send this code"),
        ("version: 1\nfaults:\n  - {when: setup, close: {code: 99}}", 3, "code: expected a whole number from 1000"),
    ],
)
def test_an_error_names_file_line_and_key(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ScriptError) as error:
        load_script(path)
    assert str(error.value).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert words in str(error.value)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=re.escape(f"{tmp_path / 'none.yaml'}: cannot be read: No such file")):
        load_script(tmp_path / "none.yaml")
    (tmp_path / "raw").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScriptError, match="is not UTF-8 text"):
        load_script(tmp_path / "raw")


def test_plain_words_stay_words(tmp_path: Path) -> None:
    script = load_script(write(tmp_path, "version: 1\nspoken: [{say: no, heard: 'on'}]\nkeys: [123]\nthink_ms: 7"))
    assert (script.spoken[0].say, script.spoken[0].heard) == ("no", "on")
    assert script.keys == {"123"}
    assert script.think_ms == 7


def test_what_a_script_leaves_out_is_the_built_in_conversation(tmp_path: Path) -> None:
    script = load_script(write(tmp_path, "version: 1\nspoken: []\nthink_ms: 5"))
    assert (script.spoken, script.text, script.think_ms) == ((), load_script(None).text, 5)


def test_every_sentence_of_the_built_in_conversation_is_recorded() -> None:
    script = load_script(None)
    replies = (*script.spoken, *script.text)
    said = [script.notice, *(reply.say for reply in replies), *(reply.call.say for reply in replies if reply.call)]
    for text in said:
        for sentence in re.split(r"(?<=[.!?])\s+", text):
            assert sentence == "{result}" or sentence == "{previous}" or clip(sentence) is not None, sentence


def test_the_table_and_the_recordings_are_the_same_set_and_small() -> None:
    files = {path.name for path in FOLDER.glob("*.opus")}
    assert files == set(table().values())
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000
    for sentence, name in table().items():
        seconds = decode(FOLDER / name).size / RATE
        assert 0.03 < seconds / len(sentence) < 0.12, f"{name} lasts {seconds:.1f} s"


def test_the_example_faults_in_the_built_in_script_can_be_switched_on(tmp_path: Path) -> None:
    text = DEFAULT.read_text("utf-8")
    at = text.index("# faults:")
    lines = [line.removeprefix("# ") for line in text[at:].splitlines()]
    script = load_script(write(tmp_path, text[:at] + "\n".join(lines)))
    assert script.faults[0].act == Close(1011, "Internal error encountered.")
    assert script.faults[1].act == GoAway("50s", 50_000)


def test_the_example_of_all_faults_can_be_used_and_is_complete() -> None:
    path = DEFAULT.with_name("faults.yaml")
    script = load_script(path)
    text = path.read_text("utf-8")
    assert {name for name in ACTS if f" {name}: " not in text} == set()
    assert {name for name in (*MOMENTS, *CLOSES) if name not in text} == set()
    assert script.limits == Limits(), "the example says what holds without it"
    assert len(script.faults) > len(ACTS)


def test_spoken_answers_come_in_rotation() -> None:
    script = load_script(None)
    memory, said = Memory(), []
    for _ in range(7):
        choice = for_speech(script, memory, {})
        said.append(choice.reply.say)
        memory = Memory(spoken_at=choice.spoken_at)
    assert said == [reply.say for reply in script.spoken] + [script.spoken[0].say]


@pytest.mark.parametrize(
    ("typed", "declared", "start", "function"),
    [
        ("Greet the visitor in one short sentence.", [], "Hello, and welcome.", None),
        ("Where is order 1234?", ["get_order_status"], "I looked it up.", "get_order_status"),
        ("Where is order 1234?", [], "The lifts", None),
        ("When do you open?", ["opening_hours"], "I looked it up.", "opening_hours"),
        ("When do you open?", [], "We are open", None),
        ("Thank you and goodbye", [], "Goodbye", None),
        ("colourless green ideas", [], "I am a small simulator", None),
    ],
)
def test_typed_turns(typed: str, declared: list[str], start: str, function: str | None) -> None:
    choice = for_text(load_script(None), Memory(), typed, declared)
    assert choice.reply.say.startswith(start)
    assert choice.function == function


def test_blanks_are_filled_with_what_a_person_would_say() -> None:
    values = {"result": {"status": "shipped", "items": [1, {"n": 2}], "none": None}, "1": "42"}
    assert fill("It is {result.status}, number {1}{previous}.", values) == "It is shipped, number 42."
    assert fill("{result}", values) == "shipped, 1, 2"
    assert fill("{result.status.deeper}", values) == ""
    assert fill_all({"order_id": "{1}", "n": 3, "l": ["{1}"]}, values) == {"order_id": "42", "n": 3, "l": ["42"]}
    assert Call("*order*").choose(["a", "my_order_b"]) == "my_order_b"
