"""YAML 1.2 to a tree with places, and every way in which a text is none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.errors import ConfigErrors
from pipeline.config.tree import Origin
from pipeline.config.yaml_text import DEEPEST, core_scalar, parse

pytestmark = pytest.mark.unit
ORIGIN = Origin("k.yaml", 1, Path("/"))


def values(text: str) -> object:
    return parse(text, ORIGIN).plain(nulls=True)


def refusal(text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        parse(text, ORIGIN)
    (error,) = caught.value.errors
    return str(error)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("off", "off"),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("y", "y"),
        ("null", None),
        ("~", None),
        ("", None),
        ("none", "none"),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("05:30", "05:30"),
        ("2024-01-01", "2024-01-01"),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("1.2.3", "1.2.3"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_words_and_numbers_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = core_scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_quoted_words_are_text() -> None:
    assert values("a: \"true\"\nb: '5'\nc: |\n  7\n") == {"a": "true", "b": "5", "c": "7\n"}


def test_every_value_knows_its_line() -> None:
    tree = parse("# a\nstages:\n  capture:\n    device: auto\n    list:\n      - 1\n      - 2\n", ORIGIN)
    assert str(tree.at(("stages", "capture", "device")).origin) == "k.yaml:4"
    assert str(tree.at(("stages", "capture", "list", "1")).origin) == "k.yaml:7"
    assert str(tree.at(("stages", "capture", "absent")).origin) == "k.yaml:3"


def test_aliases_are_expanded() -> None:
    assert values("a: &x {b: 1}\nc: *x\n") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: 1\nb: 2\na: 3\n", ["k.yaml:3: a:", "twice", "line 1"]),
        ("s:\n  a: 1\n  a: 2\n", ["k.yaml:3: s.a:", "twice"]),
        ("a:\n\tb: 1\n", ["k.yaml:2", "spaces", "tab"]),
        ("a: b: c\n", ["k.yaml:1", "quotes"]),
        ("b: 1\na: [1, 2\n", ["k.yaml:3", "opened in line 2", "never closed"]),
        ("b: 1\na: [1, 2\nc: 3\n", ["k.yaml:3", "opened in line 2", "never closed"]),
        ("a: {b: ${MIC}}\n", ["k.yaml:1", '"${NAME}"']),
        ("a: 1\n---\nb: 2\n", ["k.yaml:2", "---"]),
        ("x: &a {b: 1}\ny: {<<: *a}\n", ["k.yaml:2: y.<<:", "merge", "extends"]),
        ("a: !!python/object:os.system x\n", ["k.yaml:1: a:", "tag"]),
        ("a: !thing {}\n", ["k.yaml:1: a:", "tag"]),
        ("a: *nobody\n", ["k.yaml:1", "nobody"]),
        ("a: &a [*a]\n", ["k.yaml:1: a.0:", "alias"]),
        ("? [1, 2]\n: 3\n", ["k.yaml:1", "no word"]),
        ('"": 3\n', ["k.yaml:1", "the key ''"]),
        ('a: "\\ud800"\n', ["k.yaml:1: a:", "control character"]),
        ('a: "\\0"\n', ["k.yaml:1: a:", "control character"]),
        ('a: "\\UFFFFFFFF"\n', ["k.yaml:1"]),
        ("ok: 1\na: \x01\n", ["k.yaml:2", "does not allow"]),
        ("%YAML 9.9\n---\na: 1\n", ["k.yaml:"]),
        ("[" * 5000, ["k.yaml:1", f"{DEEPEST} levels"]),
        ("\n".join("  " * depth + "a:" for depth in range(200)), [f"{DEEPEST} levels"]),
        (
            "a: &a {}\n"
            + "".join(f"b{i}: &b{i} [*a{', *a' * 9}]\n".replace("*a", f"*b{i - 1}" if i else "*a") for i in range(6)),
            ["values"],
        ),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text: str, parts: list[str]) -> None:
    message = refusal(text)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_aliases_that_nest_deeper_than_any_text() -> None:
    text = "a0: &a0 {}\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 100))
    assert "levels deep, aliases expanded" in refusal(text)


yaml_like = st.lists(
    st.sampled_from(list(":{}[],&*!|>'\"%@`#-?\n\t ~${}ab1.\\x0u\x00\ufeff<=")) | st.characters(), max_size=60
).map("".join)


@given(yaml_like)
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        parse(text, ORIGIN)
    except ConfigErrors as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
