"""How the service turns a client away: a WebSocket close code and its own words.

The words are the service's, as users have reported them; `why` is ours, for the log, because the service never says
which argument it did not like.
"""

from dataclasses import dataclass

REASON_BYTES = 123
"""A close frame has no room for more."""


@dataclass
class Refused(Exception):
    """The connection ends with `code` and `reason`; `why` names the offending part for whoever reads the log."""

    code: int
    reason: str
    why: str

    def __post_init__(self) -> None:
        super().__init__(self.why)
        self.reason = cut(self.reason)


def cut(reason: str) -> str:
    """`reason` at the length that fits a close frame."""
    return reason.encode("utf-8", "replace")[:REASON_BYTES].decode("utf-8", "ignore")


def invalid_argument(why: str) -> Refused:
    """The service's answer to nearly everything it does not like."""
    return Refused(1007, "Request contains an invalid argument.", why)


def unknown_name(name: str, where: str) -> Refused:
    """A key that the service does not know. `where` is empty at the top level, else a path such as `setup`."""
    at = f" at '{where}'" if where else ""
    return Refused(
        1007, f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.', f"unknown {name}"
    )


def bad_key() -> Refused:
    """A key was given and is not one of ours."""
    return Refused(1007, "API key not valid. Please pass a valid API key.", "the key is not in the script's list")


def no_key(why: str) -> Refused:
    """No key, an empty one, or a token at a door that takes none."""
    words = (
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API."
    )
    return Refused(1008, words, why)


def no_model(model: str, version: str) -> Refused:
    """The model is not to be had under this version of the interface."""
    words = f"{model} is not found for API version {version}, or is not supported for bidiGenerateContent."
    return Refused(1008, words, "no pattern of the script's `models` fits")
