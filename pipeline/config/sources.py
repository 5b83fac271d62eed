"""Files, what they extend, and `--set`, merged into one tree."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pipeline.config.errors import ConfigError, ConfigErrors, Findings, nearest
from pipeline.config.tree import Node, Origin, empty_table, without
from pipeline.config.use import same_program
from pipeline.config.variables import substitute
from pipeline.config.yaml_text import parse
from pipeline.package import CODE

LARGEST_BYTES: Final = 256 * 1024
"""A machine fits on a page; more is a wrong file."""
SET: Final = "--set"


def find(path_or_name: str) -> Path:
    """The file that a person means: a path, else a name in configs/ with or without `.yaml`. Raises ConfigErrors."""
    given = Path(path_or_name)
    candidates = [given]
    if path_or_name and given.name == path_or_name:
        for folder in shipped():
            candidates += [folder / path_or_name, folder / f"{path_or_name}.yaml"]
    try:
        found = next((path for path in candidates if path.is_file()), None)
        if found is not None:
            return found
        if given.exists():
            what = "a folder" if given.is_dir() else "no regular file"
            raise _refusal(path_or_name, f"this is {what}", expected="a YAML file")
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise _refusal(path_or_name, f"not a file name: {error}", expected="a YAML file") from error
    there = ", ".join(sorted({path.name for folder in shipped() for path in _yaml_files(folder)}))
    raise _refusal(
        path_or_name,
        "no such file",
        nearest=_nearest_file(given),
        expected=f"a path, or a name in configs/: {there}" if there else "a path",
    )


def _nearest_file(missing: Path) -> str:
    """The configuration, beside a missing one or of those that ship, whose name is most like its; "" if none is."""
    names = {path.stem: path.name for folder in (*shipped(), missing.parent) for path in _yaml_files(folder)}
    near = nearest(missing.name.removesuffix(".yaml"), names)  # what all of them end with makes no two of them alike
    return names.get(near, "")


def shipped() -> list[Path]:
    """The folders of configurations that come with the code: beside it in a checkout, in the prefix when installed."""
    folders = (CODE / "configs", Path(sys.prefix) / "share" / "voice-pipeline" / "configs")
    return [folder for folder in folders if (folder / "kiosk.yaml").is_file()][:1]


def _packaged(name: str) -> Path | None:
    """The configuration of that name which comes with the code, so that `extends: kiosk.yaml` holds in any folder."""
    if Path(name).name != name:
        return None
    return next((path for folder in shipped() if (path := folder / name).is_file()), None)


def gather(path: Path, sets: Sequence[str], environ: Mapping[str, str], findings: Findings) -> Node:
    """The tree of a file, of all that it extends and of `--set`, variables not yet replaced. Raises ConfigErrors."""
    tree = _chain(path, environ, findings, [])
    overlay = empty_table(Origin(SET, 0, Path.cwd()))
    for given in sets:
        overlay = merge(overlay, _setting(given), keep_options=True)
    if "extends" in overlay.table:
        findings.add(overlay.origin, "extends", "not from the command line", remedy="write it into a file")
        overlay = without(overlay, frozenset({"extends"}))
    _check_deletions(tree, overlay, findings)
    return merge(tree, overlay)


def merge(base: Node, over: Node, path: tuple[str, ...] = (), *, keep_options: bool = False) -> Node:
    """Deep merge: tables by key, everything else replaced by `over`, null included.

    A stage with a changed `use` or `command` is another program, so the options of the old one are dropped, unless
    `keep_options`.
    """
    if over.is_blank and base.is_table and _holds_tables(path):
        return base
    if not (base.is_table and over.is_table):
        return over
    if len(path) == 2 and path[0] == "stages" and not keep_options and not same_program(path[1], base, over):
        base = without(base, frozenset(base.table.keys() - _kept(over)))
    merged = dict(base.table)
    for key, node in over.table.items():
        old = merged.get(key)
        merged[key] = node if old is None else merge(old, node, (*path, key), keep_options=keep_options)
    return Node(merged, over.origin if over.origin.line else base.origin)


def _kept(over: Node) -> frozenset[str]:
    """What belongs to a stage's place in the pipeline rather than to its program."""
    command = over.table.get("command")
    emits = {"emits"} if command is not None and command.value is not None else set()
    return frozenset({"inputs", "endpoint", "env", "required", "remote", "restart"} | emits)


def _holds_tables(path: tuple[str, ...]) -> bool:
    """Whether a key with nothing after it is an empty table here: somebody commented out all that stood below it."""
    return path in {("stages",), ("restart",), ("log",), ("curve",)} or (len(path) == 2 and path[0] == "stages")


def _chain(path: Path, environ: Mapping[str, str], findings: Findings, above: list[tuple[Path, Origin]]) -> Node:
    tree = _document(path)
    name = shown(path)
    if "extends" not in tree.table or tree.table["extends"].value is None:
        tree = without(tree, frozenset({"extends"}))
        _check_deletions(empty_table(tree.origin), tree, findings)
        return tree
    extends = substitute(tree.table["extends"], environ, findings, ("extends",))
    tree = without(tree, frozenset({"extends"}))
    if not isinstance(extends.value, str) or not extends.value:
        raise _refusal(name, "expected the name of one file", extends.origin, "extends", expected="extends: FILE")
    base = path.parent / extends.value
    if not base.is_file() and (packaged := _packaged(extends.value)) is not None:
        base = packaged
    circle = [*above, (path.resolve(), extends.origin)]
    if any(base.resolve() == seen for seen, _ in circle):
        way = " → ".join([*(shown(seen) for seen, _ in circle), shown(base)])
        raise _refusal(name, f"a circle: {way}", extends.origin, "extends", remedy="delete one of these `extends`")
    if not base.is_file():
        raise _refusal(
            name,
            f"{shown(base)} is no file",
            extends.origin,
            "extends",
            nearest=_nearest_file(base),
            expected="a file name relative to this file, or one of configs/",
        )
    below = _chain(base, environ, findings, circle)
    _check_deletions(below, tree, findings)
    return merge(below, tree)


def _check_deletions(base: Node, over: Node, findings: Findings) -> None:
    """`captur: null` would otherwise delete nothing without a word."""
    inherited = base.table["stages"].table if "stages" in base.table else {}
    stages = over.table["stages"].table if "stages" in over.table else {}
    for name, node in stages.items():
        if node.value is None and not node.is_blank and name not in inherited:
            findings.add(
                node.origin,
                f"stages.{name}",
                "null deletes an inherited stage, and there is none of this name",
                nearest=nearest(name, inherited),
                remedy=f"for a stage with its defaults write {name}: {{}}",
            )


def _document(path: Path) -> Node:
    origin = Origin(shown(path), 1, Path(os.path.abspath(path)).parent)
    tree = parse(_read(path), origin)
    if tree.is_blank:
        raise _refusal(origin.file, "the file is empty", expected="`stages:` with the stages of a pipeline")
    if not tree.is_table:
        raise _refusal(origin.file, "no table", tree.origin, expected="lines of KEY: VALUE")
    return tree


def _read(path: Path) -> str:
    name = shown(path)
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _refusal(name, "no regular file", expected="a YAML file")
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise _refusal(name, f"not readable: {error.strerror}", remedy="look at its permissions") from error
    if len(data) > LARGEST_BYTES:
        raise _refusal(name, f"more than {LARGEST_BYTES // 1024} KiB", expected="the configuration of a pipeline")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refusal(name, "this is UTF-16", remedy="save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        place = Origin(name, line, path.parent)
        problem = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise _refusal(name, problem, place, remedy="save it as UTF-8") from error


def _setting(given: str) -> Node:
    """`a.b.c=VALUE` as a tree."""
    origin = Origin(SET, 0, Path.cwd())
    key, equals, value = given.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise _refusal(SET, f"got '{key}'", origin, expected="KEY=VALUE, such as stages.capture.device=Jabra")
    try:
        node = parse(value, origin)
    except ConfigErrors as error:
        problem = error.errors[0].problem
        raise _refusal(SET, problem, origin, key, remedy=f"quote the value: {key}='\"…\"'") from error
    for step in reversed(steps):
        node = Node({step: node}, origin)
    return node


def shown(path: Path) -> str:
    """A file as a person would type it from where they are."""
    path = Path(os.path.abspath(path))
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere, or the present folder is gone
        return str(path)


def _yaml_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
    except OSError:
        return []


def _refusal(file: str, problem: str, origin: Origin | None = None, key: str = "", **more: str) -> ConfigErrors:
    return ConfigErrors([ConfigError(file, origin.line if origin else 0, key, problem, **more)])
