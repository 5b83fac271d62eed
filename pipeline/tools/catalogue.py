"""All functions there are, from modules and from servers, and how they are declared. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.tools.declare import NAME
from pipeline.tools.options import Function, How, Server

ANNOUNCE = "This takes a moment: before you call it, say so to the person in a few words."
LONGEST_DESCRIPTION = 4_000
"""Characters; a server may send a whole manual, and each turn is billed for it."""
UNDERSTOOD = frozenset(
    [
        *("$ref", "$defs", "type", "format", "title", "description", "enum", "minimum", "maximum", "anyOf", "oneOf"),
        *("items", "prefixItems", "minItems", "maxItems", "properties", "additionalProperties", "required"),
    ]
)
"""Words of JSON schema that the service documents. It refuses a whole session for one function that it cannot read."""
NAMED = ("properties", "$defs")
"""Whose keys are names."""


@dataclass(frozen=True)
class Tool:
    """One function that can be called."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of an object."""
    how: How
    place: int | tuple[str, str]
    """Index among the functions, or the server and the name that it has there."""

    @property
    def closed(self) -> bool:
        """Arguments that the schema does not name are wrong."""
        return isinstance(self.place, int)

    @property
    def declaration(self) -> dict[str, Any]:
        """As the session hears of it."""
        words = self.description[:LONGEST_DESCRIPTION] + (f"\n{ANNOUNCE}" if self.how.announce else "")
        return {
            "name": self.name,
            "description": words,
            "parameters": dict(self.parameters),
            "blocking": self.how.blocking,
        }


class Catalogue:
    """What modules and servers offer at present. Of two with one name the first has it: functions, then servers."""

    def __init__(self, functions: Sequence[Function], servers: Mapping[str, Server]) -> None:
        self._functions, self._servers = functions, servers
        self._loaded: Sequence[Mapping[str, Any]] = ()
        self._offers: dict[str, Sequence[Mapping[str, Any]]] = {}
        self._wrong: dict[str, str] = {}
        self.tools: dict[str, Tool] = {}
        self.problems: tuple[str, ...] = ()
        """What is left out, and which servers are away, each with its reason."""

    @property
    def complete(self) -> bool:
        """Every server has said what it offers, or why it can't."""
        return self._servers.keys() <= self._offers.keys() | self._wrong.keys()

    def loaded(self, functions: Sequence[Mapping[str, Any]]) -> None:
        """A worker has imported the functions."""
        self._loaded = functions
        self._gather()

    def offered(self, server: str, tools: Sequence[Mapping[str, Any]] | None, wrong: str = "") -> None:
        """A server offers `tools`, or (None) is away. What it offered before stays declared: it is coming back."""
        self._wrong.pop(server, None)
        if tools is None:
            self._wrong[server] = wrong
        else:
            self._offers[server] = tools
        self._gather()

    @property
    def declarations(self) -> list[dict[str, Any]]:
        """For the model, in order."""
        return [tool.declaration for tool in self.tools.values()]

    def _gather(self) -> None:
        found: dict[str, Tool] = {}
        problems = [f"the server {name} is away: {why}" for name, why in self._wrong.items()]
        for index, (option, told) in enumerate(zip(self._functions, self._loaded, strict=False)):
            if "wrong" not in told and told["name"] not in found:
                found[told["name"]] = Tool(told["name"], told["description"], told["parameters"], option, index)
        for server, table in self._servers.items():
            offers = self._offers.get(server, ())
            for told in offers:
                if not table.only or told["name"] in table.only:
                    problems += self._take(found, server, table, told)
            missing = set(table.only) - {told["name"] for told in offers} if server in self._offers else set()
            problems += [f"the server {server} does not offer {name}" for name in sorted(missing)]
        self.tools, self.problems = found, tuple(problems)

    @staticmethod
    def _take(found: dict[str, Tool], server: str, table: Server, told: Mapping[str, Any]) -> list[str]:
        name = table.prefix + str(told["name"])
        if not NAME.fullmatch(name):
            return [f"{server}: the service takes no function of the name {name!r}"]
        if name in found:
            return [f"{server}: there is a function {name} already; give the server a `prefix`"]
        parameters = understood(told["parameters"])
        found[name] = Tool(name, str(told["description"]), parameters, table, (server, str(told["name"])))
        return []


def understood(schema: Any) -> Any:
    """A schema that somebody else wrote, without what the service may not understand."""
    if isinstance(schema, list):
        return [understood(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    known: dict[str, Any] = {"enum": [schema["const"]]} if "const" in schema else {}
    for key, value in schema.items():
        if key in NAMED and isinstance(value, Mapping):
            known[key] = {name: understood(inner) for name, inner in value.items()}
        elif key in UNDERSTOOD:
            known[key] = value if key in ("enum", "required") else understood(value)
    return known
