"""`${NAME}` and `${NAME:-default}` in values. `$${` stands for `${`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pipeline.config.errors import Findings
from pipeline.config.tree import Node, Path_
from pipeline.config.yaml_text import core_scalar

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(:-(?P<default>[^}]*))?\}|\$\{")
_SECRET = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)


def looks_secret(name: str) -> bool:
    """Whether the name of a key or a variable says that its value is for nobody's eyes."""
    return _SECRET.search(name) is not None


def substitute(node: Node, environ: Mapping[str, str], findings: Findings, path: Path_ = ()) -> Node:
    """The tree with variables replaced and secrets marked. A variable that is not set is a finding.

    What a value means is decided after the replacement, as if it stood there unquoted: `volume: ${VOLUME}` is a number.
    """
    if isinstance(node.value, dict):
        return replace(node, value={k: substitute(v, environ, findings, (*path, k)) for k, v in node.value.items()})
    if isinstance(node.value, list):
        items = [substitute(item, environ, findings, (*path, str(i))) for i, item in enumerate(node.value)]
        return replace(node, value=items)
    if not isinstance(node.value, str):
        return node
    secret = any(looks_secret(step) for step in path)
    if "${" not in node.value:
        if secret:
            findings.secrets.add(node.value)
        return replace(node, secret=secret)
    return _replaced(node, environ, findings, path, secret)


def _replaced(node: Node, environ: Mapping[str, str], findings: Findings, path: Path_, secret: bool) -> Node:
    names: list[str] = []

    def value_of(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match[0] == "$${":
            return "${"
        if name is None:
            remedy = "for the two characters themselves write $${"
            findings.add(node.origin, ".".join(path), "'${' without a name", expected="${NAME}", remedy=remedy)
            return match[0]
        names.append(name)
        value = environ.get(name)
        if default is not None and not value:
            return str(default)
        if value is None:
            remedy = f"set it, or write ${{{name}:-default}}"
            findings.add(node.origin, ".".join(path), f"the environment variable {name} is not set", remedy=remedy)
            return match[0]
        if "\0" in value or not _is_text(value):
            findings.add(node.origin, ".".join(path), f"the environment variable {name} is not UTF-8 text")
            return ""
        if looks_secret(name):
            findings.secrets.add(value)
        return value

    text = _VARIABLE.sub(value_of, node.text)
    secret = secret or any(looks_secret(name) for name in names)
    if secret:
        findings.secrets.add(text)
    value = core_scalar(text) if text else ""
    return replace(node, value=value, text=text, from_variable=bool(names), secret=secret)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes that were no UTF-8 came in as surrogates
        return False
    return True
