"""Reads the faults of a script; what they are is in fault.py, an example of each in faults.yaml."""

import json
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import yaml

from pipeline.simulator.fault import (
    MOMENTS,
    Act,
    Answer,
    Close,
    Fault,
    Freeze,
    GoAway,
    Handles,
    Http,
    Outage,
    Pongs,
    Say,
    Silent,
    Tls,
    ToolOdd,
    Unknown,
    Wedged,
)
from pipeline.simulator.script_place import LONGEST_MS, Place

CLOSES = {
    "quota": Close(1011, "You exceeded your current quota, please check your plan and billing details."),
    "internal": Close(1011, "Internal error encountered."),
    "unavailable": Close(1011, "The service is currently unavailable."),
    "deadline": Close(1011, "Deadline expired before operation could complete."),
    "aborted": Close(1008, "The operation was aborted."),
    "no_session": Close(1008, "BidiGenerateContent session not found"),
    "no_entity": Close(1008, "Requested entity was not found."),
    "not_implemented": Close(1008, "Operation is not implemented, or supported, or enabled."),
    "invalid": Close(1007, "Request contains an invalid argument."),
    "bad_handle": Close(1007, "Invalid session handle"),
    "cut": Close(1006),
    "torn": Close(1006, torn=True),
}
"""Ends with the words that users have reported of the service."""

ONLY_AT: dict[type[Act], str] = {Tls: "dial", Http: "dial", Answer: "turn", ToolOdd: "tool"}
AT_DIAL = (Tls, Http, Silent, Close, Outage)
_STATUS_WORDS = {
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    503: ("UNAVAILABLE", "The service is currently unavailable."),
}


def read_fault(place: Place) -> Fault:
    """One fault. Raises `ScriptError`."""
    found = place.table(("when", "nth", "chance", "after_ms", *ACTS))
    if "when" not in found:
        raise place.wrong(f"`when` is missing: one of {', '.join(MOMENTS)}")
    when = found["when"].one_of(tuple(MOMENTS))
    acts = [name for name in ACTS if name in found]
    if len(acts) != 1:
        raise place.wrong(f"expected exactly one of {', '.join(f'`{name}`' for name in ACTS)}")
    act = ACTS[acts[0]](found[acts[0]])
    at_dial = when == "dial"
    if at_dial and not isinstance(act, AT_DIAL):
        raise found[acts[0]].wrong("at `when: dial` there is no connection yet: use tls, http, silent, close or outage")
    if when != ONLY_AT.get(type(act), when):
        raise found[acts[0]].wrong(f"goes with `when: {ONLY_AT[type(act)]}` only, not with `when: {when}`")
    if at_dial and isinstance(act, Close) and act.code != 1006:
        raise found[acts[0]].wrong("a close code needs a WebSocket: use `when: connect`, or `close: cut`")
    first, last = _numbers(found["nth"]) if "nth" in found else (1, None)
    return Fault(
        when=when,
        act=act,
        first=first,
        last=last,
        after_ms=_span(found["after_ms"]) if "after_ms" in found else (0, 0),
        chance=found["chance"].number(0, 1) if "chance" in found else 1.0,
    )


def _numbers(place: Place) -> tuple[int, int | None]:
    first, dash, last = place.text().replace(" ", "").partition("-")
    if not first.isdigit() or int(first) < 1 or (last and (not last.isdigit() or int(last) < int(first))):
        raise place.wrong("expected which ones: 3, 3-5, or 3- for each from the third on")
    return int(first), int(last) if last else None if dash else int(first)


def _span(place: Place) -> tuple[int, int]:
    if not isinstance(place.node, yaml.SequenceNode):
        return (place.whole(0, LONGEST_MS),) * 2
    ends = [item.whole(0, LONGEST_MS) for item in place.items()]
    if len(ends) != 2 or ends[0] > ends[1]:
        raise place.wrong("expected milliseconds, or [least, most]")
    return ends[0], ends[1]


def read_close(place: Place) -> Close:
    """An end: one of `CLOSES` by name, or code and reason. Raises `ScriptError`."""
    if isinstance(place.node, yaml.ScalarNode):
        return CLOSES[place.one_of(tuple(CLOSES))]
    found = place.table(("code", "reason"))
    if "code" not in found:
        raise place.wrong(
            "`code` is missing: a WebSocket close code such as 1011; 1006 cuts the connection without a word"
        )
    code = found["code"].whole(1000, 4999)
    if code in (1004, 1005, 1015) or 1016 <= code < 3000:
        raise found["code"].wrong("no server can send this code; 1000-1003, 1006-1014 and 3000-4999 can be used")
    return Close(code, found["reason"].text() if "reason" in found else "")


def _go_away_ms(place: Place) -> GoAway:
    lives_ms = place.whole(0, LONGEST_MS)
    return GoAway(f"{lives_ms / 1000:g}s", lives_ms)


def _go_away(place: Place) -> GoAway:
    found = place.table(("time_left", "lives_ms", "close"))
    lives = found.get("lives_ms")
    return GoAway(
        found["time_left"].text() if "time_left" in found else None,
        None if lives is None or lives.text() == "never" else lives.whole(0, LONGEST_MS),
        read_close(found["close"]) if "close" in found else CLOSES["aborted"],
    )


def _say(place: Place) -> Say:
    data: Any = place.data()
    messages = data if isinstance(data, list) else [data]
    if not messages or not all(isinstance(message, dict | str) for message in messages):
        raise place.wrong("expected a message (a table, sent as JSON), a text (sent as it is), or a list of them")
    return Say(tuple(messages))


def _silent(place: Place) -> Silent:
    place.one_of(("true",))
    return Silent()


def _wedged(place: Place) -> Wedged:
    place.one_of(("true",))
    return Wedged()


def _pongs(place: Place) -> Pongs:
    return Pongs(None if place.text() == "never" else place.whole(0, LONGEST_MS))


def _outage(place: Place) -> Outage:
    found = place.table(("ms", "how"))
    if "ms" not in found:
        raise place.wrong("`ms` is missing: how long it lasts")
    return Outage(found["ms"].whole(1, LONGEST_MS), found["how"].one_of(("refused", "silent")) if "how" in found else
                  "refused")  # fmt: skip


def _http(place: Place) -> Http:
    found = place.table(("status", "body"))
    if "status" not in found:
        raise place.wrong("`status` is missing: 429, 401, 403, 503, …")
    status = found["status"].whole(400, 599)
    if "body" in found:
        return Http(status, found["body"].text())
    try:
        words = HTTPStatus(status).phrase
    except ValueError:
        words = "Unknown"
    return Http(status, error_body(status, *_STATUS_WORDS.get(status, (words.upper().replace(" ", "_"), words))))


def error_body(code: int, status: str, message: str) -> str:
    """An error as Google's HTTP interfaces write it."""
    return json.dumps({"error": {"code": code, "message": message, "status": status}}, indent=2) + "\n"


def read_chunks(place: Place) -> tuple[int, ...]:
    """Sizes in bytes. Raises `ScriptError`."""
    sizes = tuple(item.whole(2, 1 << 20) for item in place.items())
    if not sizes or any(size % 2 for size in sizes):
        raise place.wrong("expected sizes in bytes, each a multiple of 2 (16-bit samples)")
    return sizes


def read_speed(place: Place) -> float:
    """How much faster than real time; `burst`: all at once. Raises `ScriptError`."""
    return math.inf if place.text() == "burst" else place.number(0.05, 1000)


def _answer(place: Place) -> Answer:
    found = place.table(("kind", "speed", "chunk_bytes", "stall_ms", "bundled"))
    return Answer(
        kind=found["kind"].one_of(("usual", "none", "empty", "early")) if "kind" in found else "usual",
        speed=read_speed(found["speed"]) if "speed" in found else None,
        chunk_bytes=read_chunks(found["chunk_bytes"]) if "chunk_bytes" in found else None,
        stall_ms=found["stall_ms"].whole(0, LONGEST_MS) if "stall_ms" in found else 0,
        bundled="bundled" in found and found["bundled"].one_of(("true", "false")) == "true",
    )


def _unknown(place: Place) -> Unknown:
    place.one_of(("true",))
    return Unknown()


ACTS: dict[str, Callable[[Place], Act]] = {
    "close": read_close,
    "go_away_ms": _go_away_ms,
    "go_away": _go_away,
    "send": _say,
    "silent": _silent,
    "freeze_ms": lambda place: Freeze(place.whole(1, LONGEST_MS)),
    "pongs_ms": _pongs,
    "outage": _outage,
    "tls": lambda place: Tls(place.one_of(("refused", "expired", "not_yet_valid", "untrusted"))),
    "http": _http,
    "wedged": _wedged,
    "answer": _answer,
    "tool": lambda place: ToolOdd(place.one_of(("repeated", "cancelled"))),
    "unknown_fields": _unknown,
    "handles": lambda place: Handles(place.one_of(("forgotten", "withheld", "blank"))),
}
"""Key in a fault to its reader."""
