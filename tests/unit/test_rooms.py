"""The rooms of the package: who may import whom, and how large a file may grow. Read from the source, not by importing.

Imports run one way. A room sees itself and what stands below it here; nothing else of the package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pipeline"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOOR = {"exits", "log", "package", "pids", "places", "proxies", "states"}
BELOW = {
    "__main__": {"cli"},
    "cli": {"", "doctor", "supervisor", "stages", "simulator", "config", "audio", "bus", "live", "stage"},
    "supervisor": {"", "stage", "config", "bus"},
    "metrics": {"config"},
    "stages": {"", "metrics", "stage", "live", "simulator", "config", "audio", "bus", "tools"},
    "tools": {"config"},
    "live": {"config"},
    "simulator": {"config", "audio"},
    "stage": {"config", "bus"},
    "config": set[str](),
    "audio": set[str](),
    "bus": set[str](),
    "doctor": {"audio", "bus"},
    "testing": {"bus", "stage", "config"},
    "": {"bus", "stage"},
    **{name: set[str]() for name in FLOOR},
}
"""Room to the rooms that it may see; "" is what `pipeline` itself offers to the world."""

LATER = {"config/rehearse.py": "stage", "config/stage_class.py": "stage"}
"""To say what a stage is, its class must be seen: in a function, and in a process that lives for nothing else."""

HOMES = {
    "google": {"live/gemini.py"},
    "pyaudio": {"audio/devices.py"},
    "zmq": {"bus/", "stage/", "supervisor/"},
    "mcp": {"tools/mcp_client.py"},
    "opentelemetry": {"metrics/otlp.py"},
    "av": {"audio/resample.py", "audio/prompts.py", "simulator/clips.py"},
    "websockets": {"live/gemini.py", "live/shortcut.py", "simulator/"},
}  # fmt: skip
"""The only files and folders that may import these."""

LONGEST_FILE, LONGEST_FUNCTION = 350, 60


def room(path: Path) -> str:
    """The first part below the package, "" for its own __init__."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


@cache
def imports(path: Path, *, types: bool = True) -> list[tuple[int, str]]:
    """(line, dotted name) of every import; without those under TYPE_CHECKING if not `types`."""
    tree = ast.parse(path.read_text("utf-8"))
    hidden, found = set[ast.AST](), list[tuple[int, str]]()
    if not types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                hidden |= {inner for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def rooms_seen(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) of the package's own rooms that a file imports."""
    for line, name in imports(path):
        parts = name.split(".")
        if parts[0] == "pipeline":
            second = parts[1] if len(parts) > 1 else ""
            known = (PACKAGE / second).is_dir() or (PACKAGE / f"{second}.py").exists()
            yield line, second if known and second else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    here = room(path)
    assert here in BELOW, f"{here} is a new room: say what it may see"
    allowed = BELOW[here] | FLOOR | {here}
    later = LATER.get(str(path.relative_to(PACKAGE)))
    outermost = {node.lineno for node in ast.parse(path.read_text("utf-8")).body}
    wrong = [f"{path.relative_to(ROOT)}:{line} imports {seen or 'pipeline'}" for line, seen in rooms_seen(path)
             if seen not in allowed and not (seen == later and line not in outermost)]  # fmt: skip
    assert not wrong, wrong


def test_no_two_rooms_see_each_other() -> None:
    def reach(start: str, gone: frozenset[str] = frozenset()) -> set[str]:
        found = set[str]()
        for below in BELOW[start] - gone:
            found |= {below} | reach(below, gone | {below})
        return found

    for name in BELOW:
        assert name not in reach(name), f"{name} sees itself through others"


@pytest.mark.parametrize("path", sorted((PACKAGE / "stages").glob("*.py")), ids=lambda path: path.stem)
def test_a_stage_never_imports_another(path: Path) -> None:
    others = {other.stem for other in path.parent.glob("*.py")} - {path.stem, "__init__"}
    wrong = [name for _, name in imports(path) if name.startswith("pipeline.stages.") and name.split(".")[2] in others]
    assert not wrong


@pytest.mark.parametrize("library", HOMES)
def test_a_library_has_its_homes(library: str) -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        for _, name in imports(path, types=False)
        if name.split(".")[0] == library
    }
    strangers = [file for file in found if not file.startswith(tuple(HOMES[library]))]
    assert not strangers, f"{library} is imported by {strangers} too"
    assert found, f"nobody imports {library} any more"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LONGEST_FILE, f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= LONGEST_FUNCTION, f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines} lines"
