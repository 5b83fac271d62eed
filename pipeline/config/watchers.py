"""`health:`, `black_box:` and `traces:` beside `stages:`: what watches a machine, each a stage that is not required."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pipeline.config.errors import Findings
from pipeline.config.tree import Node, without

WATCHERS: Final = {name: f"pipeline.stages.{name}" for name in ("health", "black_box", "traces")}


def with_watchers(tree: Node, findings: Findings) -> Node:
    """The tree with each of them as a stage, unless a stage has its name."""
    stages = tree.table.get("stages")
    if stages is None or not stages.is_table:
        return tree
    moved: dict[str, Node] = {}
    gone: set[str] = set()
    for key, use in WATCHERS.items():
        node = tree.table.get(key)
        if node is None or key in stages.table:
            continue
        gone.add(key)
        if not (node.is_table or node.value is None):
            findings.add(node.origin, key, "no table", expected=f"{key}: {{OPTION: VALUE}}, or {key}: {{}}")
        if node.is_table or node.is_blank:
            said = {"use": Node(use, node.origin, use), "required": Node(False, node.origin, "false")}
            moved[key] = replace(node, value={**said, **node.table})
    if not gone:
        return tree
    rest = without(tree, frozenset(gone))
    return replace(rest, value={**rest.table, "stages": replace(stages, value={**stages.table, **moved})})
