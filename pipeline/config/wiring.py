"""Who reads whose streams, and in which order the audio passes the stages. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline.config.errors import nearest

FEEDBACK: Final = frozenset({"played"})
"""Streams that flow back: they make no circle, and a pipeline without a speaker does without them."""
FIRST: Final = "simulator"
"""Before all others: the session connects to it."""


@dataclass(frozen=True)
class Place:
    """A stage as the wiring sees it."""

    name: str
    emits: tuple[str, ...] = ()
    reads: tuple[str, ...] | None = ()
    """None: whatever `inputs` name."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """As written: stream to `STAGE/STREAM`."""
    where: str = ""
    """File and line, for messages about somebody else's mistake."""
    known: bool = True
    """False if the stage can't be described: nothing can be said of its streams then."""


@dataclass(frozen=True)
class WiringError:
    """One thing that does not fit together."""

    path: tuple[str, ...]
    problem: str
    expected: str = ""
    nearest: str = ""
    remedy: str = ""


Wires = dict[str, dict[str, str]]
"""Stage to stream to producer."""


def wire(places: Sequence[Place]) -> tuple[Wires, list[WiringError]]:
    """The producer of every stream that every stage reads."""
    by_name = {place.name: place for place in places}
    complete = all(place.known for place in places)
    wires: Wires = {}
    errors: list[WiringError] = []
    for place in places:
        wires[place.name] = {}
        for stream, source in place.inputs.items():
            found = _explicit(place, stream, source, by_name)
            if isinstance(found, str):
                wires[place.name][stream] = found
            else:
                errors.append(found)
        for stream in _reads(place):
            if stream in place.inputs:
                continue
            implied = _implied(place, stream, places, complete)
            if isinstance(implied, str):
                wires[place.name][stream] = implied
            elif implied is not None:
                errors.append(implied)
    return wires, errors + [_circle(ring, wires) for ring in _rings(places, wires)]


def flow_order(places: Sequence[Place], wires: Wires) -> list[str]:
    """Producers before readers, otherwise as written; what no audio passes comes last."""
    names = [place.name for place in places]
    producers = {name: {p for s, p in wires[name].items() if s not in FEEDBACK} for name in names}
    joined = {name for name in names if wires[name]} | {p for made in wires.values() for p in made.values()}
    left = sorted(names, key=lambda name: (name != FIRST, name not in joined))
    order: dict[str, None] = {}
    while left:
        ready = next((name for name in left if producers[name] <= order.keys()), left[0])
        order[ready] = None
        left.remove(ready)
    return list(order)


def _reads(place: Place) -> tuple[str, ...]:
    return tuple(place.inputs) if place.reads is None else place.reads


def _explicit(place: Place, stream: str, source: str, by_name: Mapping[str, Place]) -> str | WiringError:
    path = ("stages", place.name, "inputs", stream)
    stage, slash, offered = source.partition("/")
    if place.known and place.reads is not None and stream not in place.reads:
        reads = ", ".join(place.reads) or "no audio"
        return WiringError(path, f"{place.name} reads no '{stream}'", reads, nearest(stream, place.reads))
    if not slash or not stage or not offered:
        near = f"{source}/{stream}" if source in by_name else ""
        return WiringError(path, f"got '{source}'", f"STAGE/STREAM, such as frontend/{stream}", near)
    if stage not in by_name:
        near = nearest(stage, by_name)
        there = ", ".join(f"{other.name}/{stream}" for other in by_name.values() if stream in other.emits)
        near = f"{near}/{offered}" if near else ""
        return WiringError(path, f"there is no stage '{stage}'", f"one of {there}" if there else "", near)
    if stage == place.name:
        return WiringError(path, "a stage can't read itself", remedy="name the stage before it")
    producer = by_name[stage]
    if producer.known and offered not in producer.emits:
        emits = ", ".join(producer.emits) or "no audio"
        near = nearest(offered, producer.emits)
        problem = f"{stage} ({producer.where}) emits no '{offered}'"
        return WiringError(path, problem, f"one that it emits: {emits}", f"{stage}/{near}" if near else "")
    if offered != stream:
        remedy = f"write `{offered}: {source}`" if place.reads is None else f"have {stage} emit '{stream}'"
        return WiringError(path, "a stream keeps its name on its way", f"{stream}: STAGE/{stream}", remedy=remedy)
    return stage


def _implied(place: Place, stream: str, places: Sequence[Place], complete: bool) -> str | WiringError | None:
    path = ("stages", place.name)
    producers = [other for other in places if stream in other.emits and other.name != place.name]
    if len(producers) == 1:
        return producers[0].name
    if producers:
        named = " and ".join(f"{other.name} ({other.where})" for other in producers)
        last = producers[-1].name
        return WiringError(
            path,
            f"reads '{stream}', and {len(producers)} stages emit it: {named}",
            remedy=f"say which: inputs: {{{stream}: {last}/{stream}}}",
        )
    if stream in FEEDBACK or not complete:
        return None
    offered = {name for other in places if other.name != place.name for name in other.emits}
    known = ", ".join(sorted(offered)) or "none"
    return WiringError(
        path,
        f"reads '{stream}', and no stage emits it; the streams are {known}",
        nearest=nearest(stream, offered),
        remedy=f"add a stage that emits '{stream}', or delete {place.name}",
    )


def _circle(ring: Sequence[str], wires: Wires) -> WiringError:
    """`ring` goes against the audio: each reads the next one's stream."""
    way = " → ".join([*reversed(ring), ring[-1]])
    stage, producer = ring[0], ring[1 % len(ring)]
    stream = next(stream for stream, made in wires[stage].items() if made == producer and stream not in FEEDBACK)
    return WiringError(
        ("stages", stage, "inputs", stream),
        f"the audio goes in a circle: {way}",
        remedy=f"let one of them read an earlier stage: inputs: {{{stream}: STAGE/{stream}}}",
    )


def _rings(places: Sequence[Place], wires: Wires) -> list[list[str]]:
    """One circle for each group of stages that are caught in one."""
    rings: list[list[str]] = []
    done: set[str] = set()
    for place in places:
        path = [place.name]
        tries = [iter(_producers(place.name, wires))]
        while tries:
            following = next(tries[-1], None)
            if following is None:
                tries.pop()
                done.add(path.pop())
            elif following in path:
                ring = path[path.index(following) :]
                if not any(set(ring) & set(other) for other in rings):
                    rings.append(ring)
            elif following not in done:
                path.append(following)
                tries.append(iter(_producers(following, wires)))
    return rings


def _producers(name: str, wires: Wires) -> list[str]:
    return [producer for stream, producer in wires[name].items() if stream not in FEEDBACK]
