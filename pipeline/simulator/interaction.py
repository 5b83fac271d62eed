"""`interactionStatus`: what the service waits for. Documented at two places of a message; the SDK reads one."""

from pipeline.simulator.wire import Message

PLACES = ("none", "content", "root")
"""Nowhere; in `serverContent`, as the SDK reads it; at the root beside `toolCall`, as the documentation shows it."""


def with_status(message: Message, place: str) -> Message:
    """`message` with its status: REQUIRES_ACTION for a function call, IDLE for the end of a turn."""
    content = message.get("serverContent", {})
    if "toolCall" in message:
        status = "REQUIRES_ACTION"
    elif content.get("turnComplete"):
        status = "IDLE"
    else:
        return message
    if place == "root":
        return message | {"interactionStatus": status}
    return message | {"serverContent": content | {"interactionStatus": status}}
