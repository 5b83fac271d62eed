"""Annotations of a class against values from YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import Stage
from pipeline.config.kinds import Kind, as_json, from_json, kind_of, words
from pipeline.config.options import OptionError, Range, build_options, check_options, describe_options

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class Inner:
    knee: float = 0.5
    shape: Literal["soft", "hard"] = "soft"


@dataclass(frozen=True)
class Table:
    inner: Inner = Inner()
    needed: int = 0

    def __post_init__(self) -> None:
        if self.needed == 13:
            raise ValueError("needed: expected anything but 13")


@dataclass(frozen=True)
class Strict:
    url: str


class Base(Stage):
    """An option of a base is one of its children."""

    gain: Annotated[float, Range(-60, 60)] = 6.0


class Every(Base):
    reads: ClassVar[tuple[str, ...]] = ("voice",)
    emits = ("voice",)
    count: int = 3
    loud: bool = False
    device: str = "auto"
    mode: Literal["half_duplex", "none", 3] = "none"
    file: Path | None = None
    channel: Literal["mix"] | int = "mix"
    names: list[str] = []
    pairs: tuple[int, ...] = (1, 2)
    live: dict[str, Any] = {}
    weights: dict[str, float] = {}
    table: Table = Table()
    strict: Strict | None = None
    anything: Any = None
    grace_s: float = 4.0
    _private: int = 1
    SHARED: ClassVar[int] = 3
    no_default: int
    plain = 5


FIELDS = describe_options(Every, Stage)


def problems(**values: Any) -> list[str]:
    return [str(problem) for problem in check_options(FIELDS, values)]


def test_options_are_annotated_public_attributes_with_defaults() -> None:
    assert [field.name for field in FIELDS] == [
        "gain", "count", "loud", "device", "mode", "file", "channel", "names", "pairs", "live", "weights", "table",
        "strict", "anything",
    ]  # fmt: skip
    defaults = {field.name: field.default for field in FIELDS}
    assert defaults["table"] == {"inner": {"knee": 0.5, "shape": "soft"}, "needed": 0}
    assert defaults["pairs"] == [1, 2]


@pytest.mark.parametrize(
    "values",
    [
        {"gain": 9},
        {"gain": -60},
        {"mode": 3},
        {"mode": "half_duplex"},
        {"channel": 1},
        {"channel": "mix"},
        {"file": "a.csv"},
        {"names": ["a", "b"]},
        {"names": []},
        {"live": {"any": {"thing": [1, None]}}},
        {"weights": {"a": 1, "b": 2.5, "c": None}},
        {"table": {"inner": {"knee": 1}}},
        {"strict": {"url": "x"}},
        {"anything": [{}]},
        {"count": None, "table": None, "names": None},
    ],
)
def test_what_fits(values: dict[str, Any]) -> None:
    assert problems(**values) == []
    build_options(Every, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gian": 9}, "gian: unknown option; did you mean 'gain'?"),
        ({"wombat": 9}, "wombat: unknown option; expected one of gain, count"),
        ({"gain": "loud"}, "gain: got the text 'loud'; expected a number from -60 to 60"),
        ({"gain": 61}, "gain: got the number 61; expected a number from -60 to 60"),
        ({"gain": float("nan")}, "gain: got the number nan"),
        ({"gain": float("inf")}, "gain: got the number inf"),
        ({"gain": 10**400}, "gain: got the number 1000"),
        ({"gain": True}, "gain: got true"),
        ({"count": 3.0}, "count: got the number 3.0; expected a whole number"),
        ({"count": True}, "count: got true; expected a whole number"),
        ({"count": "3"}, "count: got the text '3'; expected a whole number"),
        ({"loud": "yes"}, "loud: got the text 'yes'; expected true or false"),
        ({"loud": 1}, "loud: got the number 1; expected true or false"),
        ({"device": 3}, 'device: got the number 3; expected text; put it in quotes: "3"'),
        ({"device": ["a"]}, "device: got a list; expected text"),
        ({"mode": "half_duplx"}, "did you mean 'half_duplex'? expected half_duplex or none or 3"),
        ({"mode": 1}, "mode: got the number 1"),
        ({"channel": "mxi"}, "channel: got the text 'mxi'; did you mean 'mix'? expected mix or a whole number"),
        ({"channel": False}, "channel: got false"),
        ({"file": ""}, "file: got the text ''; expected a file name or null"),
        ({"names": "a"}, "expected a list [ … ] with text in each place; put it in brackets: [a]"),
        ({"names": ["a", 2]}, "names.1: got the number 2; expected text"),
        ({"names": [None]}, "names.0: got null; expected text"),
        ({"live": 3}, "live: got the number 3; expected a table of KEY: VALUE"),
        ({"weights": {"a": "x"}}, "weights.a: got the text 'x'; expected a number"),
        ({"table": {"iner": {}}}, "table.iner: unknown option; did you mean 'inner'?"),
        ({"table": {"inner": {"shape": "sof"}}}, "table.inner.shape: got the text 'sof'; did you mean 'soft'?"),
        ({"table": 5}, "table: got the number 5; expected a table with inner, needed"),
        ({"strict": {}}, "strict: 'url' is missing; expected url: text"),
        ({"strict": {"uri": "x"}}, "strict.uri: unknown option; did you mean 'url'?"),
        ({"grace_s": 1}, "grace_s: unknown option"),
        ({"no_default": 1}, "no_default: unknown option"),
        ({"device": "a\nb" * 1000, "count": "a\nb" * 1000}, "count: got the text 'a\\nba"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_with_what_does(values: dict[str, Any], message: str) -> None:
    found = problems(**values)
    assert any(message in line for line in found), found
    assert not any("\n" in line for line in found)
    with pytest.raises(OptionError):
        build_options(Every, values)


def test_all_problems_at_once() -> None:
    assert len(problems(gain="x", count="y", table={"inner": {"knee": "z", "shape": 1}}, wombat=1)) == 5


def test_built_options_have_the_types_of_their_annotations() -> None:
    built = build_options(
        Every,
        {"gain": 3, "pairs": [3, 4], "file": "a", "table": {"inner": {"knee": 1}}, "strict": {"url": "u"}},
    )
    assert isinstance(built["gain"], float)
    assert built["pairs"] == (3, 4)
    assert built["file"] == Path("a")
    assert built["table"] == Table(Inner(1.0, "soft"), 0)
    assert isinstance(built["table"].inner.knee, float)
    assert built["strict"] == Strict("u")
    assert built["count"] == 3
    assert set(built) == {field.name for field in FIELDS}


def test_a_default_list_is_a_new_one_for_each_stage() -> None:
    build_options(Every, {})["names"].append("x")
    assert build_options(Every, {})["names"] == []


def test_what_a_table_itself_refuses() -> None:
    with pytest.raises(OptionError, match="table: needed: expected anything but 13"):
        build_options(Every, {"table": {"needed": 13}})


@pytest.mark.parametrize(
    ("annotation", "default", "message"),
    [
        (bytes, b"", "bytes is no type for an option"),
        ("NoSuchName", 1, "can't be evaluated"),
        ("1 +", 1, "can't be evaluated"),
        (dict[int, str], {}, "no type for an option"),
        (Annotated[str, Range(0, 1)], "", "Range bounds int and float only"),
    ],
)
def test_an_annotation_that_yaml_cannot_fill_is_named(annotation: Any, default: Any, message: str) -> None:
    cls = type("Wrong", (Stage,), {"__annotations__": {"odd": annotation}, "odd": default})
    with pytest.raises(TypeError, match=rf"option 'odd': .*{message}"):
        describe_options(cls, Stage)
    with pytest.raises(OptionError, match="odd"):
        build_options(cls, {})


@pytest.mark.parametrize("name", ["env", "required", "name", "log", "state", "run_dir", "emit"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    cls = type("Wrong", (Stage,), {"__annotations__": {name: str}, name: "x"})
    with pytest.raises(TypeError, match=f"option '{name}'.*choose another"):
        describe_options(cls, Stage)


def test_a_table_that_holds_itself_is_refused() -> None:
    with pytest.raises(TypeError, match="holds itself"):
        kind_of(Endless)


@dataclass(frozen=True)
class Endless:
    more: Endless | None = None


def test_kinds_cross_a_pipe_unchanged() -> None:
    import json

    for field in FIELDS:
        assert from_json(json.loads(json.dumps(as_json(field.kind)))) == field.kind
        assert words(field.kind)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["gain", "inner", "knee", "shape", "needed", "url", "a"]) | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([field.name for field in FIELDS]), plain))
def test_what_is_found_fit_can_be_built(values: dict[str, Any]) -> None:
    if problems(**values):
        with pytest.raises(OptionError):
            build_options(Every, values)
    else:
        try:
            build_options(Every, values)
        except OptionError as error:
            assert "13" in str(error)  # noqa: PT017 - a table may refuse what its types take


def test_an_empty_kind_takes_nothing() -> None:
    assert check_options((), {}) == []
    assert [str(problem) for problem in check_options((), {"a": 1})] == [
        "a: unknown option; expected none: it has no options"
    ]
    assert Kind("any") == kind_of(Any)
