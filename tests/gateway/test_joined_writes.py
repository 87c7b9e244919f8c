"""Joined writes: one packet for head and body, and nothing lost at a close."""

import asyncio

import aiohttp

from sepal.gateway.joined_writes import JoiningTransport
from tests.gateway.conftest import IRIS


class Recorded(asyncio.Transport):
    """Writes down what reaches the socket."""

    def __init__(self) -> None:
        super().__init__({"peername": "somebody"})
        self.packets: list[bytes] = []
        self.closed = self.ended = False

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self.ended
        self.ended = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended
        assert not self.closed
        self.packets.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def test_what_is_written_in_one_turn_leaves_in_one_packet() -> None:
    recorded = Recorded()
    transport = JoiningTransport(recorded, asyncio.get_running_loop())
    transport.write(b"head")
    transport.write(b"body")
    assert recorded.packets == []
    await asyncio.sleep(0)
    transport.write(b"next")
    await asyncio.sleep(0)
    assert recorded.packets == [b"headbody", b"next"]


async def test_a_close_sends_what_is_kept_first() -> None:
    recorded = Recorded()
    transport = JoiningTransport(recorded, asyncio.get_running_loop())
    transport.write(b"last words")
    transport.close()
    assert (recorded.packets, recorded.closed) == ([b"last words"], True)
    await asyncio.sleep(0)
    assert recorded.packets == [b"last words"]


async def test_what_is_kept_is_dropped_if_the_client_has_gone_meanwhile() -> None:
    recorded = Recorded()
    transport = JoiningTransport(recorded, asyncio.get_running_loop())
    transport.write(b"nobody reads this")
    recorded.close()
    await asyncio.sleep(0)
    transport.close()
    assert recorded.packets == []


async def test_an_answer_that_comes_after_the_end_is_dropped() -> None:
    recorded = Recorded()
    transport = JoiningTransport(recorded, asyncio.get_running_loop())
    transport.lingers = lambda: True
    transport.write(b"refused")
    transport.close()
    transport.write(b"the answer to the request before")
    transport.close()
    await asyncio.sleep(0)
    assert (recorded.packets, recorded.ended, recorded.closed) == ([b"refused"], True, False)


async def test_everything_else_is_the_transports_own() -> None:
    transport = JoiningTransport(Recorded(), asyncio.get_running_loop())
    assert transport.get_extra_info("peername") == "somebody"


async def test_requests_on_one_connection_are_answered_in_turn(client: aiohttp.ClientSession) -> None:
    address = client._base_url
    assert address is not None
    reader, writer = await asyncio.open_connection(address.host, address.port)
    body = str(IRIS).replace("'", '"').encode()
    head = b"POST /iris/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n"
    writer.write((head % len(body) + body) * 20)  # pipelined
    for _ in range(20):
        answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b'{"output":"Iris-virginica","model_name":"fake_7"}')
    writer.close()
    await writer.wait_closed()
