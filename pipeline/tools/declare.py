"""From a function to what the model is told of it: name, description, JSON schema. Needs the function itself, so it is
used where a person's code may be imported: in a worker."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.errors import nearest
from pipeline.tools import docstring
from pipeline.tools.types import Unfit, hints, schema

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
"""What the service accepts as the name of a function."""


class Undeclarable(Exception):
    """A function that can't be declared: each line of the text is one reason, with file, function and remedy."""


@dataclass(frozen=True)
class Declaration:
    """A function as the model sees it."""

    name: str
    description: str
    parameters: dict[str, Any]
    """JSON schema of an object."""


def find(use: str, folder: Path) -> Callable[..., Any]:
    """The function that `module:function` names; imports its module. Raises Undeclarable."""
    module, _, name = use.partition(":")
    if not module or not name:
        raise Undeclarable(f"got '{use}'; expected module:function, such as shop:get_order_status")
    try:
        found: Any = importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit included
        raise Undeclarable(_not_imported(module, error, folder)) from error
    where = getattr(found, "__file__", None) or module
    for part in name.split("."):
        owner, found = found, getattr(found, part, None)
        if found is None:
            near = nearest(part, [key for key, value in vars(owner).items() if inspect.isfunction(value)])
            meant = f"; did you mean '{module}:{near}'?" if near else f"; write def {part}(…) in it"
            raise Undeclarable(f"{_short(where, folder)} has no function {name}{meant}")
    if not callable(found) or inspect.isclass(found):
        raise Undeclarable(f"{_short(where, folder)}: {name} is no function; name one by module:function")
    function: Callable[..., Any] = found
    return function


def declare(function: Callable[..., Any], folder: Path) -> Declaration:
    """What the model is told of `function`. Raises Undeclarable with everything that is wrong with it."""
    inner = inspect.unwrap(function)
    name = str(getattr(inner, "__name__", function))
    code = getattr(inner, "__code__", None)
    where = f"{_short(code.co_filename, folder)}:{code.co_firstlineno}: {name}" if code else name
    wrong = []
    if not NAME.fullmatch(name):
        wrong.append("the service takes a name of letters, digits and _ only, 64 at most; rename it")
    described, of_parameters = docstring.read(inspect.getdoc(inner) or "")
    if not described:
        wrong.append("has no docstring; write what it does and when to call it: the model decides by that")
    parameters, problems = _parameters(function, inner, of_parameters)
    wrong += problems
    if wrong:
        raise Undeclarable("\n".join(f"{where}: {problem}" for problem in wrong))
    return Declaration(name, described, parameters)


def _parameters(
    function: Callable[..., Any], inner: Any, described: dict[str, str]
) -> tuple[dict[str, Any], list[str]]:
    properties: dict[str, Any] = {}
    required, wrong = [], []
    try:
        found, signature = hints(inner), inspect.signature(function)
    except (Unfit, ValueError, TypeError) as error:
        return {}, [f"{error}; correct its signature"]
    for name, parameter in signature.parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            wrong.append(f"parameter {name}: expected a named one; the model gives its arguments by name")
            continue
        if name not in found:
            wrong.append(f"parameter {name}: has no type; write {name}: str, or another of its types")
            continue
        try:
            properties[name] = schema(found[name])
        except Unfit as error:
            wrong.append(f"parameter {name}: {error}")
            continue
        if text := described.get(name):
            properties[name] = {**properties[name], "description": text}
        if parameter.default is parameter.empty:
            required.append(name)
    for name in described.keys() - signature.parameters.keys():
        near = nearest(name, signature.parameters)
        wrong.append(f"parameter {name}: is in the docstring only" + (f"; did you mean '{near}'?" if near else ""))
    return {"type": "object", "properties": properties} | ({"required": required} if required else {}), wrong


def _not_imported(module: str, error: BaseException, folder: Path) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
        near = nearest(module, [path.stem for path in folder.glob("*.py")])
        meant = f"; did you mean '{near}'?" if near else f"; put {module}.py beside the configuration"
        return f"there is no module {module} (looked in {folder} and Python's path){meant}"
    last = traceback.format_exception_only(error)[-1].strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f" at {_short(frames[-1].filename, folder)}:{frames[-1].lineno}" if len(frames) > 1 else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" at {_short(error.filename, folder)}:{error.lineno}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        install = f"install {error.name.partition('.')[0]} for {sys.executable}, or correct the import"
        return f"importing {module} failed{place}: {last}; {install}"
    return f"importing {module} failed{place}: {last}; correct the module"


def _short(file: str, folder: Path) -> str:
    """A file as seen from the configuration's folder."""
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
