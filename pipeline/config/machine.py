"""From the merged tree to the tables: every key checked, every stage described and wired."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal

from pipeline.config import apart, service
from pipeline.config.adapters import adapt
from pipeline.config.checking import settle
from pipeline.config.descriptions import Described, Description
from pipeline.config.errors import Findings, nearest
from pipeline.config.kinds import Field, table_fields
from pipeline.config.options import RESERVED, Range, build_value
from pipeline.config.tables import CurveTable, LogTable, Restart, StageTable
from pipeline.config.tree import Node, empty_table, without
from pipeline.config.wiring import Place, flow_order, wire
from pipeline.config.words import Words, read_words

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")
STAGE: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
TAKEN: Final = frozenset({"supervisor", "cli", "join"})
"""Names on the bus and on control that no stage may bear."""

Describe = Callable[[Mapping[str, str | None], str | None], Mapping[str, Described]]
"""Stage names with their `use`, and the interpreter that has their classes (None: this one), to what those say."""


@dataclass(frozen=True)
class Top:
    """The keys of a configuration but for its stages."""

    version: Literal[1] = 1
    name: str = ""
    language: str = "en-GB"
    stages: dict[str, Any] = field(default_factory=dict)
    restart: Restart = field(default_factory=Restart)
    """Of every stage that says nothing else."""
    log: LogTable = field(default_factory=LogTable)
    curve: CurveTable = field(default_factory=CurveTable)
    budget_ms: Annotated[float, Range(1)] = 300.0
    """What this machine may add to a turn's latency before it is worth a warning."""


def read_top(tree: Node, stem: str, findings: Findings) -> Top:
    """Everything but the stages. `stem` is the file's name, which names the machine if nothing else does."""
    misplaced = _stage_names(tree) & tree.table.keys() - {"stages"}
    for key in sorted(misplaced):
        findings.add(tree.table[key].origin, key, "this is a stage", remedy=f"put it under `stages:`, as stages.{key}")
    tree = without(tree, frozenset(misplaced))
    top: Top = build_value(Top, settle(table_fields(Top), tree, (), findings))
    if "stages" not in tree.table:
        findings.add(tree.origin, "stages", "missing", expected="the stages of the pipeline, such as capture: {}")
    if not LANGUAGE.fullmatch(top.language):
        language = tree.at(("language",))
        findings.add(language.origin, "language", _got(language), expected="a language such as en-GB")
    node = tree.table.get("name")
    if node is None or node.value is None:
        if not NAME.fullmatch(stem):
            findings.add(tree.origin, "name", f"the file's name '{stem}' names no folder", remedy="write `name: kiosk`")
        return replace(top, name=stem)
    if (isinstance(node.value, str) or node.from_variable) and not NAME.fullmatch(node.text):
        expected = "letters, digits, '.', '_' and '-', 41 at most: it names folders"
        findings.add(node.origin, "name", _got(node), expected=expected)
    return top


def _stage_names(tree: Node) -> set[str]:
    stages = tree.table.get("stages")
    return set(stages.table) if stages is not None and stages.is_table else set()


def read_stages(
    tree: Node, top: Top, environ: Mapping[str, str], findings: Findings, describe: Describe
) -> tuple[list[StageTable], Mapping[str, Described]]:
    """The stages, wired and in the order of the audio, and what their classes say."""
    nodes = _named(tree, findings)
    apart.check_machine(tree, top.curve, findings)
    words: dict[str, Words] = {}
    sound = {service.SIMULATOR}
    for name, node in nodes.items():
        before = len(findings)
        words[name] = _inherit(read_words(name, node, findings), node, top)
        apart.check_stage(name, node, words[name], top.curve, findings)
        if len(findings) == before:
            sound.add(name)
    # an interpreter with which something is wrong can not be asked, and a program that is written wrong is no class
    unsound = {name for name, node in nodes.items() if name not in sound and {"python", "command"} & node.table.keys()}
    classes = {name: word for name, word in words.items() if word.may_be_class and name not in unsound}
    described: dict[str, Described] = {}
    for python in dict.fromkeys(word.python for word in classes.values()):
        described |= describe({name: word.use for name, word in classes.items() if word.python == python}, python)
    usable = {name for name, found in described.items() if isinstance(found, Description)}
    tables = {name: _table(name, nodes[name], words[name], described.get(name), findings) for name in nodes}
    _imply_simulator(tables, described, environ)
    inputs = {name: word.inputs for name, word in words.items()}
    places = [
        Place(
            name,
            table.emits,
            _reads(table, described.get(name), inputs.get(name, {})),
            inputs.get(name, {}),
            str(nodes[name].origin) if name in nodes else "",
            name in sound and (table.command is not None or name not in words or name in usable),
        )
        for name, table in tables.items()
    ]
    wires, errors = wire(places)
    for error in errors:
        origin = tree.at(error.path).origin
        more = {"expected": error.expected, "nearest": error.nearest, "remedy": error.remedy}
        findings.add(origin, ".".join(error.path), error.problem, **more)
    stages = [replace(tables[name], inputs=wires[name]) for name in flow_order(places, wires)]
    apart.check_reach(tree, stages, findings)
    return stages, described


def _named(tree: Node, findings: Findings) -> dict[str, Node]:
    """The stages that were not deleted; those with impossible names are findings."""
    node = tree.table.get("stages")
    if node is None or not (node.is_table or node.is_blank):
        return {}
    named = {name: stage for name, stage in node.table.items() if stage.value is not None or stage.is_blank}
    if not named:
        findings.add(node.origin, "stages", "there is no stage", expected="at least one, such as capture: {}")
    fit: dict[str, Node] = {}
    for name, stage in named.items():
        key = f"stages.{name}"
        if name in TAKEN or not STAGE.fullmatch(name):
            problem = "this name is taken" if name in TAKEN else "no name for a stage"
            expected = "a-z, 0-9, '_' and '-', a letter first, 32 at most"
            findings.add(stage.origin, key, problem, expected=expected)
        elif stage.is_table or stage.is_blank:
            fit[name] = adapt(name, stage if stage.is_table else empty_table(stage.origin), findings)
        else:
            findings.add(stage.origin, key, "no table", expected=f"{name}: {{OPTION: VALUE}}, or {name}: {{}}")
    return fit


def _inherit(words: Words, node: Node, top: Top) -> Words:
    """What the stage says of restarts, laid over what the machine says."""
    said = node.table.get("restart")
    given = {key for key, value in said.table.items() if value.value is not None} if said is not None else set()
    own = {key: value for key, value in vars(words.restart).items() if key in given}
    return replace(words, restart=replace(top.restart, **own))


def _table(name: str, node: Node, words: Words, found: Described | None, findings: Findings) -> StageTable:
    options_node = without(node, frozenset(RESERVED))
    table = StageTable(
        name,
        use=words.use,
        python=words.python,
        command=None if words.command is None else tuple(words.command),
        emits=tuple(dict.fromkeys(words.emits)),
        options=options_node.plain(),
        endpoint=words.endpoint,
        env=words.env,
        required=words.required,
        restart=words.restart,
        remote=words.remote,
    )
    if found is None:
        _check_near_reserved(name, options_node, (), findings)
        return table
    if not isinstance(found, Description):
        origin = node.at(("use",)).origin
        key = f"stages.{name}.use" if words.use is not None else f"stages.{name}"
        findings.add(origin, key, found.problem, nearest=found.nearest, remedy=found.remedy)
        return table
    options_node = _check_near_reserved(name, options_node, found.options, findings)
    options = settle(found.options, options_node, ("stages", name), findings)
    if table.emits and found.emits:
        problem, remedy = f"its class emits {', '.join(found.emits)}", "delete it: its class says what it emits"
        findings.add(node.at(("emits",)).origin, f"stages.{name}.emits", problem, remedy=remedy)
    return replace(table, use=found.use, emits=found.emits or table.emits, options=options)


def _check_near_reserved(name: str, node: Node, options: Sequence[Field], findings: Findings) -> Node:
    """The options without words like `requird`, which a program would take for one of its own."""
    known = {option.name for option in options}
    wrong = {key: near for key in node.table if key not in known and (near := nearest(key, RESERVED, cutoff=0.9))}
    for key, near in wrong.items():
        findings.add(node.table[key].origin, f"stages.{name}.{key}", "unknown word", nearest=near)
    return without(node, frozenset(wrong))


def _imply_simulator(
    tables: dict[str, StageTable], described: Mapping[str, Described], environ: Mapping[str, str]
) -> None:
    """Settle the session's `service`, and add the server that it then needs."""
    table, found = tables.get(service.SESSION), described.get(service.SESSION)
    if table is None or not isinstance(found, Description):
        return
    option = next((option for option in found.options if option.name == "service"), None)
    if option is None:
        return
    chosen = service.choose(table.options.get("service", option.default), {**environ, **table.env}, table.options)
    if chosen is None:
        return
    tables[service.SESSION] = replace(table, options={**table.options, "service": chosen})
    if chosen == "simulator" and service.SIMULATOR not in tables:
        tables[service.SIMULATOR] = StageTable(service.SIMULATOR, use=service.SIMULATOR_USE)


def _reads(table: StageTable, found: Described | None, inputs: Mapping[str, str]) -> tuple[str, ...] | None:
    """A class that hears and does not say what is a filter of what it emits, unless it is told by `inputs`."""
    if isinstance(found, Description):
        return found.reads if found.reads is not None or inputs else found.emits
    return None if table.command is not None else ()


def _got(node: Node) -> str:
    return "got a secret (not shown)" if node.secret else f"got the text '{node.text}'"
