"""What both tiers need of ASGI."""

from collections.abc import Iterable

from starlette.types import Message, Receive


def replay(received: Iterable[Message], receive: Receive) -> Receive:
    """Receive what was received already, then what follows."""
    messages = iter(received)

    async def receive_again() -> Message:
        for message in messages:
            return message
        return await receive()

    return receive_again
