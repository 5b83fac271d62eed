"""From `use` to a stage class, and from the class to what a pipeline must know of it. Runs in a process of its own."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

from pipeline.config.errors import nearest
from pipeline.config.kinds import as_json
from pipeline.config.options import describe_options
from pipeline.config.use import BUILTIN, builtin_stages, modules


class UnusableStage(Exception):
    """A `use` that leads to no stage: what is wrong, the nearest name, and the remedy."""

    def __init__(self, problem: str, near: str = "", remedy: str = "") -> None:
        super().__init__(problem)
        self.problem, self.nearest, self.remedy = problem, near, remedy


def find_class(name: str, use: str | None, config_dir: Path) -> type:
    """The class of the stage `name`. Imports its module. Raises UnusableStage."""
    candidates, wanted = modules(name, use)
    spelled = next((module for module in candidates if _exists(module)), None)
    if spelled is None:
        raise _not_found(name, use, candidates, config_dir)
    try:
        module = importlib.import_module(spelled)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit included
        raise _broken(spelled, error) from error
    return _named_class(module, wanted) if wanted else _only_class(module)


def describe(cls: type) -> dict[str, Any]:
    """What a pipeline must know of a class, ready for JSON. Raises UnusableStage for options that YAML cannot fill."""
    from pipeline.stage import Stage

    try:
        options = describe_options(cls, Stage)
    except TypeError as error:
        raise UnusableStage(f"class {cls.__name__}: {error}", remedy=f"correct {_file(cls)}") from error
    hears = cls.__dict__.get("on_audio", getattr(cls, "on_audio", None)) is not Stage.on_audio
    reads = _declared(cls, Stage, "reads")
    emits = _declared(cls, Stage, "emits")
    return {
        "use": f"{cls.__module__}:{cls.__qualname__}",
        "options": [
            {"name": field.name, "kind": as_json(field.kind), "default": field.default, "needed": field.needed}
            for field in options
        ],
        "reads": list(reads) if reads is not None else None if hears else [],
        "emits": list(emits if emits is not None else _named_in(cls, Stage, "emit")),
        "tells": ["*"] if _ships(cls) else list(_named_in(cls, Stage, "tell")),
    }


def _declared(cls: type, base: type, name: str) -> tuple[str, ...] | None:
    """The tuple `reads` or `emits` of a class or of a base below `base`; None if nobody says."""
    owner = next((owner for owner in cls.__mro__ if name in vars(owner)), base)
    if issubclass(base, owner):
        return None
    streams = vars(owner)[name]
    if not isinstance(streams, tuple | list) or not all(isinstance(stream, str) and stream for stream in streams):
        raise UnusableStage(
            f"class {cls.__name__}: `{name}` is {streams!r}", remedy=f'write {name} = ("voice",) in {_file(cls)}'
        )
    return tuple(dict.fromkeys(streams))


def _ships(cls: type) -> bool:
    """Whether it is, or is built on, a stage of this package."""
    return any(owner.__module__.startswith("pipeline.stages.") for owner in cls.__mro__)


def _named_in(cls: type, base: type, method: str) -> tuple[str, ...]:
    """The names in its `self.emit("…")` (or another method's) lines."""
    found: dict[str, None] = {}
    for owner in cls.__mro__:
        if issubclass(base, owner):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
        except (OSError, TypeError, SyntaxError):  # no source at hand: such a class says `emits`
            continue
        for call in ast.walk(tree):
            match call:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="self"), attr=called),
                    args=[ast.Constant(value=str(stream)), *_],
                ) if called == method:
                    found[stream] = None
    return tuple(found)


def _named_class(module: Any, wanted: str) -> type:
    from pipeline.stage import Stage

    cls = getattr(module, wanted, None)
    where = f"{module.__name__} ({getattr(module, '__file__', None) or 'built in'})"
    if cls is None:
        near = nearest(wanted, _stages_in(module))
        raise UnusableStage(f"{where} has no class {wanted}", f"{module.__name__}:{near}" if near else "")
    if not (isinstance(cls, type) and issubclass(cls, Stage)) or cls is Stage:
        raise UnusableStage(f"{wanted} in {where} is no stage", remedy=f"write class {wanted}(Stage)")
    return cls


def _only_class(module: Any) -> type:
    found = _stages_in(module)
    if len(found) == 1:
        return next(iter(found.values()))
    where = f"{module.__name__} ({getattr(module, '__file__', None) or 'built in'})"
    if not found:
        raise UnusableStage(f"{where} defines no stage", remedy="write class NAME(Stage) in it")
    choices = ", ".join(f"{module.__name__}:{name}" for name in found)
    raise UnusableStage(f"{where} defines several stages", remedy=f"choose one by `use`: {choices}")


def _stages_in(module: Any) -> dict[str, type]:
    from pipeline.stage import Stage

    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Stage) and value.__module__ == module.__name__
    }


def _exists(module: str) -> bool:
    """Whether there is such a module; its parents are imported to find out."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            return False
        raise _broken(module, error) from error
    except ValueError:  # an empty name, `.x`, or a module without a spec
        return module in sys.modules
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _broken(module, error) from error


def _not_found(name: str, use: str | None, candidates: list[str], config_dir: Path) -> UnusableStage:
    beside = sorted(path.stem for path in config_dir.glob("*.py") if path.stem.isidentifier())
    if use is None:
        if name in beside:
            return UnusableStage(f"there is no stage {candidates[0]}", remedy=f"for {name}.py write `use: {name}`")
        near = nearest(name, builtin_stages())
        remedy = f"name its class by `use: MODULE:CLASS` or its program by `command: [PROGRAM]`; there are {_shipped()}"
        return UnusableStage(f"there is no stage {candidates[0]}", near, remedy)
    module = candidates[-1]
    near = nearest(module, [*builtin_stages(), *beside])
    places = f"{config_dir} and Python's path" if not module.startswith(BUILTIN) else f"{BUILTIN}: {_shipped()}"
    return UnusableStage(f"there is no module {module} (looked in {places})", near, f"put {module}.py beside the file")


def _shipped() -> str:
    return ", ".join(builtin_stages())


def _broken(module: str, error: BaseException) -> UnusableStage:
    last = traceback.format_exception_only(error)[-1].strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames and frames[-1].filename != __file__ else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" at {error.filename}:{error.lineno}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        remedy = f"install {error.name.partition('.')[0]} for {sys.executable}, or correct the import"
        return UnusableStage(f"{module} is there, but an import inside it failed{place}: {last}", remedy=remedy)
    return UnusableStage(f"importing {module} failed{place}: {last}", remedy="correct the module")


def _file(cls: type) -> str:
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__
