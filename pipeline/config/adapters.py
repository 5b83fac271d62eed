"""`adapter: pcm`: a program that knows nothing of the bus, made a stage by one of ours that runs it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

from pipeline.config.errors import Findings, nearest
from pipeline.config.tree import Node, without

ADAPTERS: Final = {"pcm": "pipeline.stages.pcm"}


def adapt(name: str, stage: Node, findings: Findings) -> Node:
    """The stage with its `command` as the `program` of its adapter; as it is where it has none."""
    chosen, command = stage.table.get("adapter"), stage.table.get("command")
    if chosen is None or chosen.value is None:
        return stage
    key = f"stages.{name}.adapter"
    if not isinstance(chosen.value, str) or chosen.value not in ADAPTERS:
        near = nearest(chosen.text, tuple(ADAPTERS))
        findings.add(chosen.origin, key, f"got '{chosen.text}'", nearest=near, expected=" or ".join(ADAPTERS))
        return without(stage, frozenset({"adapter"}))
    use = replace(chosen, value=ADAPTERS[chosen.value], text=ADAPTERS[chosen.value])
    rest = without(stage, frozenset({"adapter", "command"}))
    if command is None or not isinstance(command.value, list) or not command.value:
        findings.add(chosen.origin, key, "there is no program", remedy="add command: [PROGRAM, ARGUMENT, …]")
        return replace(rest, value={**rest.table, "use": use})
    first = command.value[0]
    if "/" in first.text or first.text.startswith("~"):
        path = os.path.join(first.origin.folder, os.path.expanduser(first.text))
        first = replace(first, value=path, text=path)
    program = replace(command, value=[first, *command.value[1:]])
    return replace(rest, value={**rest.table, "use": use, "program": program})
