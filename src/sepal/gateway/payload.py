"""What a sampled request says and is told, caught on its way, for the log."""

from starlette.types import Message, Receive, Send

_MOST = 2000
"""Bytes of a body or an answer that are kept."""


class Payload:
    """The beginnings of a request's body and of its answer."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._body = self._answer = b""

    def told(self) -> dict[str, str]:
        """Both as text."""
        return {
            "body": self._body.decode("utf-8", "replace"),
            "answer": self._answer.decode("utf-8", "replace"),
        }

    async def receive(self) -> Message:
        """Receive the next part of the body."""
        message = await self._receive()
        self._body += message.get("body", b"")[: _MOST - len(self._body)]
        return message

    def keeping(self, send: Send) -> Send:
        """Send, and keep the answer."""

        async def send_and_keep(message: Message) -> None:
            self._answer += message.get("body", b"")[: _MOST - len(self._answer)]
            await send(message)

        return send_and_keep
