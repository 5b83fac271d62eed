"""Stages on several machines: which endpoints may be, and what they need."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pipeline.config.errors import Findings
from pipeline.config.tables import CurveTable, StageTable
from pipeline.config.tree import Node
from pipeline.places import SOCKET_PATH_BYTES

if TYPE_CHECKING:
    from pipeline.config.words import Words

_TCP: Final = re.compile(r"tcp://(?P<host>\[[0-9a-fA-F:]+\]|[^:/\[\]]+):(?P<port>[0-9]{1,5})")


def check_machine(tree: Node, curve: CurveTable, findings: Findings) -> None:
    """The table `curve`: a public key for each machine that it names, an endpoint for control."""
    node = tree.table.get("curve")
    if node is None:
        return
    if curve.folder is None:
        if node.is_table and node.table:
            findings.add(node.origin, "curve.folder", "missing", expected="the folder of the keys, such as keys")
        return
    if not curve.name:
        findings.add(node.origin, "curve.name", "missing", expected="the name of this machine, such as booth")
    for key, name in [("name", curve.name), *(("allow", name) for name in curve.allow)]:
        if name and not (curve.folder / f"{name}.key").is_file():
            here = key == "name"
            remedy = f"`voice-pipeline keys new {name} --in {curve.folder}`" + " there, and copy it here" * (not here)
            findings.add(node.at((key,)).origin, f"curve.{key}", f"no {curve.folder / name}.key", remedy=remedy)
    for key, endpoint in (("control", curve.control), ("events", curve.events)):
        if endpoint != "none" and not _is_address(endpoint):
            origin = node.at((key,)).origin
            findings.add(origin, f"curve.{key}", f"got '{endpoint}'", expected="such as tcp://10.0.0.5:7000")


def check_stage(name: str, node: Node, words: Words, curve: CurveTable, findings: Findings) -> None:
    """Its `endpoint` and `remote`. What passes to other machines is encrypted, and they are known, or it is refused."""
    if words.remote is not None:
        _check_remote(name, node, words, curve, findings)
    if words.endpoint is None:
        return
    origin, key = node.at(("endpoint",)).origin, f"stages.{name}.endpoint"
    tcp = _TCP.fullmatch(words.endpoint)
    if tcp is None and not re.fullmatch(r"ipc://.+", words.endpoint):
        findings.add(origin, key, f"got '{words.endpoint}'", expected="ipc://PATH or tcp://127.0.0.1:PORT")
    elif tcp is None:
        if len(words.endpoint.encode()) - len("ipc://") > SOCKET_PATH_BYTES:
            expected = f"{SOCKET_PATH_BYTES} bytes at most"
            findings.add(origin, key, "the path is too long for a socket", expected=expected)
    elif not 0 < int(tcp["port"]) < 65_536:
        findings.add(origin, key, f"got '{words.endpoint}'", expected="a port of 1 to 65535")
    elif not _is_loopback(tcp["host"]) and curve.folder is None:
        expected = "this machine, such as tcp://127.0.0.1:7000; for others give it keys with `curve:`"
        findings.add(origin, key, f"got '{words.endpoint}'", expected=expected)
    elif not _is_address(words.endpoint):
        expected = "the address by which the other machines reach it, such as tcp://10.0.0.5:7001"
        findings.add(origin, key, f"got '{words.endpoint}'", expected=expected)


def _check_remote(name: str, node: Node, words: Words, curve: CurveTable, findings: Findings) -> None:
    origin, key = node.at(("remote",)).origin, f"stages.{name}.remote"
    if words.remote not in curve.allow:
        findings.add(origin, key, f"no machine '{words.remote}' is known", remedy="put it on the list curve.allow")
    elif "none" in (curve.control, curve.events):
        expected = "curve.control and curve.events, such as tcp://10.0.0.5:7000 and tcp://10.0.0.5:7001"
        findings.add(origin, key, "it can't reach the supervisor", expected=expected)
    elif words.endpoint is None or not _is_address(words.endpoint):
        expected = "an endpoint of that machine, such as tcp://10.0.0.7:7001"
        findings.add(origin, key, "nobody can reach it", expected=expected)
    elif words.command is not None or words.python is not None:
        findings.add(origin, key, "a program of another machine can't be started from here", expected="a stage's class")


def check_reach(tree: Node, stages: Sequence[StageTable], findings: Findings) -> None:
    """Whoever a stage on another machine reads, or is read by, must be reachable from there: it asks for replays."""
    by_name = {table.name: table for table in stages}
    for table in stages:
        for stream, producer in table.inputs.items():
            for here, there in ((table, by_name[producer]), (by_name[producer], table)):
                if there.remote and here.remote != there.remote and not (here.endpoint or "").startswith("tcp://"):
                    problem = f"{there.name} on {there.remote} shares {stream} with it, and can't reach it"
                    origin = tree.at(("stages", here.name)).origin
                    remedy = "give it an address of this machine, such as tcp://10.0.0.5:7001"
                    findings.add(origin, f"stages.{here.name}.endpoint", problem, remedy=remedy)


def _is_address(endpoint: str) -> bool:
    """Whether it is one to which others can connect: 0.0.0.0 names no machine."""
    tcp = _TCP.fullmatch(endpoint)
    return tcp is not None and tcp["host"] not in ("0.0.0.0", "[::]", "*") and 0 < int(tcp["port"]) < 65_536


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
