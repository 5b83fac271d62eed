"""What a docstring says of a function and of each parameter. Reads the three common styles; pure.

Args:                        :param order_id: The number.        Parameters
    order_id: The number.                                        ----------
                                                                 order_id : str
                                                                     The number.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

SECTION = re.compile(r"(args|arguments|parameters|params|returns?|yields?|raises|examples?|notes?)\s*:?\s*", re.I)
PARAMETERS = ("args", "arguments", "parameters", "params")
FIELD = re.compile(r":param\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)")
OTHER_FIELD = re.compile(r":(returns?|rtype|raises?|type|yields?)\b[^:]*:")
NAMED = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
NAMED_NUMPY = re.compile(r"(\w+)\s*(?::.*)?")


def read(docstring: str) -> tuple[str, dict[str, str]]:
    """The description, and the text of each parameter that has one."""
    described: list[str] = []
    parameters: dict[str, str] = {}
    lines = textwrap.dedent(docstring).strip().splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        underlined = at + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[at + 1]) is not None
        if SECTION.fullmatch(line) and (underlined or line.rstrip().endswith(":")):
            body, following = _block(lines, at + (2 if underlined else 1), numpy=underlined)
            if line.strip(" :").lower() in PARAMETERS:
                parameters |= _sections(body, numpy=underlined)
            at = following
        elif found := FIELD.match(line.strip()):
            more, at = _continued(lines, at + 1)
            parameters[found[1]] = _joined([found[2], *more])
        elif OTHER_FIELD.match(line.strip()):
            _, at = _continued(lines, at + 1)
        else:
            described.append(line)
            at += 1
    paragraphs = re.split(r"\n\s*\n", "\n".join(described).strip())
    return "\n".join(_joined(paragraph.splitlines()) for paragraph in paragraphs if paragraph.strip()), parameters


def _block(lines: Sequence[str], at: int, *, numpy: bool) -> tuple[list[str], int]:
    """The lines of a section: those that are indented, or for numpy all up to the next heading."""
    body = []
    while at < len(lines):
        heading = at + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[at + 1]) is not None
        if (numpy and heading) or (not numpy and lines[at].strip() and not lines[at].startswith((" ", "\t"))):
            break
        body.append(lines[at])
        at += 1
    return textwrap.dedent("\n".join(body)).splitlines(), at


def _sections(body: Sequence[str], *, numpy: bool) -> dict[str, str]:
    """Entries that begin at the margin, their text going on below, indented."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in body:
        entry = (NAMED_NUMPY if numpy else NAMED).fullmatch(line)
        if entry is not None and not line.startswith((" ", "\t")):
            name = entry[1]
            found[name] = [] if numpy else [entry[2]]
        elif name:
            found[name].append(line)
    return {name: _joined(text) for name, text in found.items()}


def _continued(lines: Sequence[str], at: int) -> tuple[list[str], int]:
    more = []
    while at < len(lines) and lines[at].startswith((" ", "\t")) and lines[at].strip():
        more.append(lines[at])
        at += 1
    return more, at


def _joined(lines: Sequence[str]) -> str:
    return " ".join(line.strip() for line in lines if line.strip())
