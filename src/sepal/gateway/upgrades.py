"""Ignores that a client would rather speak another protocol, such as h2c, and has its request answered.

A server may (RFC 9110, 7.8), and some clients ask with every first request. But httptools takes
what follows such a head for the other protocol: the body would be lost, or read as a next request.
So the head is read once more, without the header that asks.
"""

from typing import Protocol

import httptools


class Parsing(Protocol):
    """What is asked of a connection's protocol here."""

    parser: httptools.HttpRequestParser
    url: bytes
    headers: list[tuple[bytes, bytes]]


def feed(protocol: Parsing, data: bytes) -> None:
    """Have its parser read what has come; HttpParserError if it is no HTTP."""
    rest: bytes | memoryview = data
    while True:
        parser = protocol.parser
        try:
            parser.feed_data(rest)
        except httptools.HttpParserUpgrade as asked:
            if parser.get_method() == b"CONNECT":
                raise httptools.HttpParserError("this is no proxy") from asked
            rest = memoryview(rest)[asked.args[0] :]
        else:
            return
        head = [
            b"%s %s HTTP/%s\r\n" % (parser.get_method(), protocol.url, parser.get_http_version().encode())
        ]
        head += [b"%s: %s\r\n" % header for header in protocol.headers if header[0] != b"upgrade"]
        protocol.parser = httptools.HttpRequestParser(protocol)
        protocol.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's has it
        protocol.parser.feed_data(b"".join((*head, b"\r\n")))
