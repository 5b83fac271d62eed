"""What differs between models, as their documentation says. Told by name; a model that nobody knows may do anything."""

from pipeline.simulator.fields import flag, table, text
from pipeline.simulator.refusal import Refused, invalid_argument
from pipeline.simulator.wire import Message

BEHAVIORS = ("", "UNSPECIFIED", "BLOCKING", "NON_BLOCKING")


def _is(model: str, name: str) -> bool:
    return name in model


def talks_on(model: str, behavior: str) -> bool:
    """Whether the model may go on talking while a function of this `behavior` runs. Raises `Refused`.

    3.8 does unless told otherwise, and its extended thinking always; 3.1 never does; 2.5 does when asked.
    """
    if behavior not in BEHAVIORS:
        raise invalid_argument(f"behavior cannot be {behavior}")
    if _is(model, "extended-thinking"):
        if behavior == "BLOCKING":
            raise invalid_argument("this model knows NON_BLOCKING functions only")
        return True
    if _is(model, "gemini-3.1"):
        return False
    if _is(model, "gemini-3.8-live"):
        return behavior != "BLOCKING"
    return behavior == "NON_BLOCKING"


def ends_turn_at_call(model: str) -> bool:
    """2.5 models say `turnComplete` before the function's answer, later ones do not."""
    return _is(model, "gemini-2")


def check(model: str, generation: Message, proactivity: Message) -> None:
    """What a model does not take. Raises `Refused`."""
    if not _is(model, "gemini-3.8-live"):
        return
    level = text(table(generation.get("thinkingConfig"), "thinkingConfig").get("thinkingLevel"), "thinkingLevel")
    if _is(model, "extended-thinking"):
        if level not in ("", "LOW", "MEDIUM", "HIGH"):
            raise _refused(f"thinkingLevel {level}: this model thinks LOW, MEDIUM or HIGH")
        return
    if level:
        raise _refused("thinkingLevel: this model has none")
    if flag(generation.get("enableAffectiveDialog"), "enableAffectiveDialog"):
        raise _refused("enableAffectiveDialog: this model has none")
    if "proactiveAudio" in proactivity and not flag(proactivity["proactiveAudio"], "proactiveAudio"):
        raise _refused("proactiveAudio: this model is always proactive")


def _refused(why: str) -> Refused:
    return invalid_argument(f"setup: {why}")
