"""What the replies of Coinbase's two feeds mean. They name no request, and come in the order of the requests."""

from flows.foreign import quoted
from sources.feed import IN_ORDER, Ack, Control, Refusal
from sources.frames import message_in


def control_of(frame: bytes) -> Control | None:
    """A reply to a request lists all that is subscribed since, on either feed; an error names no request."""
    message = message_in(frame)
    if message is None:
        return None
    if "subscriptions" in (message.get("type"), message.get("channel")):
        return Ack(IN_ORDER)
    if message.get("type") != "error":
        return None
    words = [word for key in ("message", "reason") if isinstance(word := message.get(key), str) and word]
    return Refusal(quoted(": ".join(words)), IN_ORDER)
