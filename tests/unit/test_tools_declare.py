"""From a function to its declaration, and from the model's arguments to the function's own types."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest

from pipeline.tools import docstring
from pipeline.tools.arguments import misfit
from pipeline.tools.declare import Undeclarable, declare, find
from pipeline.tools.types import Unfit, convert, schema

pytestmark = pytest.mark.unit
HERE = Path(__file__).parent
RIG = HERE.parent / "rig"


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Colour(enum.Enum):
    RED = (255, 0, 0)
    BLUE = (0, 0, 255)


@dataclass
class Line:
    article: str
    count: int = 1


@dataclass
class Ring:
    inner: Ring | None = None


def order(
    table: int,
    lines: list[Line],
    size: Size = Size.SMALL,
    tip: float | None = None,
    note: Annotated[str, "What the kitchen must know."] = "",
) -> str:
    """Order food
    for a table.

    Only when the guest has said what they want.

    Args:
        table: Its number,
            as written on it.
        size (Size): How much: small or large.

    Returns:
        The number of the order.
    """
    return ""


def test_a_function_is_declared_by_its_signature_and_docstring() -> None:
    told = declare(order, HERE)
    assert told.name == "order"
    assert told.description == "Order food for a table.\nOnly when the guest has said what they want."
    line = {"article": {"type": "string"}, "count": {"type": "integer"}}
    inner = {"type": "object", "properties": line, "additionalProperties": False, "required": ["article"]}
    assert told.parameters == {
        "type": "object",
        "properties": {
            "table": {"type": "integer", "description": "Its number, as written on it."},
            "lines": {"type": "array", "items": inner},
            "size": {"type": "string", "enum": ["small", "large"], "description": "How much: small or large."},
            "tip": {"type": ["number", "null"]},
            "note": {"type": "string", "description": "What the kitchen must know."},
        },
        "required": ["table", "lines"],
    }


@pytest.mark.parametrize(
    "text",
    [
        "What it does.\n\nArgs:\n    a: The first,\n        and more.\n    b (int): The second.\n\nReturns:\n    Much.",
        "What it does.\n\n:param a: The first,\n    and more.\n:param int b: The second.\n:returns: Much.",
        "What it does.\n\nParameters\n----------\na : str\n    The first,\n    and more.\nb : int, optional\n"
        "    The second.\n\nReturns\n-------\nstr\n    Much.",
    ],
    ids=["google", "sphinx", "numpy"],
)
def test_the_three_styles_of_docstrings(text: str) -> None:
    assert docstring.read(text) == ("What it does.", {"a": "The first, and more.", "b": "The second."})


def test_a_docstring_of_words_alone_and_one_with_a_colon() -> None:
    assert docstring.read("Note: only by day.\nNever at night.") == ("Note: only by day. Never at night.", {})
    assert docstring.read("") == ("", {})


def untyped(number, other: str) -> None:
    """Look."""


def undescribed(number: str) -> None: ...


def many(*numbers: int) -> None:
    """Look."""


def odd(when: Path) -> None:
    """Look."""


def ringed(ring: Ring) -> None:
    """Look."""


def misnamed(number: str) -> None:
    """Look.

    Args:
        nummer: The number.
    """


def unknown(number: Nothing) -> None:  # noqa: F821
    """Look."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (untyped, "untyped: parameter number: has no type; write number: str"),
        (undescribed, "undescribed: has no docstring; write what it does and when to call it"),
        (many, "many: parameter numbers: expected a named one"),
        (odd, "odd: parameter when: Path is no type that the model can fill; use str, int, float"),
        (ringed, "ringed: parameter ring: Ring holds itself"),
        (misnamed, "misnamed: parameter nummer: is in the docstring only; did you mean 'number'?"),
        (unknown, "unknown: an annotation can't be evaluated: name 'Nothing' is not defined"),
        (lambda: None, "the service takes a name of letters, digits and _ only"),
    ],
)
def test_what_cannot_be_declared_names_file_line_function_and_parameter(function: Any, words: str) -> None:
    with pytest.raises(Undeclarable) as error:
        declare(function, HERE)
    assert words in str(error.value)
    assert str(error.value).startswith(f"test_tools_declare.py:{function.__code__.co_firstlineno}: ")


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("shop", "got 'shop'; expected module:function"),
        ("bad_tolls:status", "no module bad_tolls (looked in {folder} and Python's path); did you mean 'bad_tools'?"),
        ("bad_tools:stats", "bad_tools.py has no function stats; did you mean 'bad_tools:status'?"),
        ("bad_tools:Order", "bad_tools.py: Order is no function"),
        ("bad_module:x", "importing bad_module failed at bad_module.py:2: ZeroDivisionError: division by zero"),
        ("bad_import:x", "importing bad_import failed at bad_import.py:1: ModuleNotFoundError"),
        ("bad_syntax:x", "importing bad_syntax failed at bad_syntax.py:1: SyntaxError"),
    ],
)  # fmt: skip
def test_what_cannot_be_found_says_where_and_what_was_meant(
    use: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad_tools.py").write_text((RIG / "bad_tools.py").read_text())
    (tmp_path / "bad_module.py").write_text("\n1/0\n")
    (tmp_path / "bad_import.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "bad_syntax.py").write_text("def x(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Undeclarable) as error:
        find(use, tmp_path)
    assert words.format(folder=tmp_path) in str(error.value)


def test_arguments_become_what_the_function_expects() -> None:
    assert convert(list[Line], [{"article": "tea", "count": 2.0}]) == [Line("tea", 2)]
    assert convert(Size, "large") is Size.LARGE
    assert convert(Colour, "BLUE") is Colour.BLUE
    assert schema(Colour) == {"type": "string", "enum": ["RED", "BLUE"]}
    assert convert(Optional[float], 3) == 3.0  # noqa: UP045  people write it so
    assert isinstance(convert(float, 3), float)
    assert convert(float | None, None) is None
    assert convert(dict[str, Line], {"a": {"article": "tea"}}) == {"a": Line("tea")}
    assert convert(tuple[int, ...], [1, 2.0]) == (1, 2)
    assert convert(int | str, "x") == "x"
    assert schema(Literal[1, 2]) == {"type": "integer", "enum": [1, 2]}
    assert schema(Size | None) == {"anyOf": [{"type": "string", "enum": ["small", "large"]}, {"type": "null"}]}
    with pytest.raises(Unfit):
        convert(int | str, [])


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"table": 3, "lines": []}, ""),
        ({"table": 3.0, "lines": [{"article": "tea"}], "tip": None}, ""),
        ({"lines": []}, "table: is missing"),
        ({"table": "3", "lines": []}, "table: expected a whole number, got '3'"),
        ({"table": 3.5, "lines": []}, "table: expected a whole number, got 3.5"),
        ({"table": True, "lines": []}, "table: expected a whole number, got True"),
        ({"table": 3, "lines": {}}, "lines: expected a list, got {}"),
        ({"table": 3, "lines": [{"article": 1}]}, "lines[0].article: expected a text, got 1"),
        ({"table": 3, "lines": [{"article": "a", "nr": 1}]}, "lines[0].nr: unknown argument; known: article, count"),
        ({"table": 3, "lines": [], "size": "huge"}, "size: expected one of small, large, got 'huge'"),
        ({"table": 3, "lines": [], "tip": "much"}, "tip: expected a number or nothing, got 'much'"),
        ({"table": 3, "lines": [], "tabel": 3}, "tabel: unknown argument; did you mean table?"),
    ],
)
def test_arguments_that_do_not_fit_say_which(args: dict[str, Any], problem: str) -> None:
    assert misfit(declare(order, HERE).parameters, args, closed=True) == problem


def test_schemas_that_others_wrote() -> None:
    bounded = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 5}}}
    assert misfit(bounded, {"n": 0}) == "n: expected 1 or more, got 0"
    assert misfit(bounded, {"n": 6}) == "n: expected 5 or less, got 6"
    assert misfit(bounded, {"n": 3, "more": 1}) == "", "open unless it says otherwise"
    assert misfit({"type": "object", "additionalProperties": {"type": "string"}}, {"a": 1}) != ""
    either = {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]}
    assert misfit(either, "b", "x") == "x: expected one of a, got 'b'"
    assert misfit(either, None) == ""
    assert misfit({"$ref": "#/$defs/x", "pattern": "("}, "anything") == ""
    assert misfit({}, object()) == ""
