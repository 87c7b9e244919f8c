"""Ignores that a client would rather speak another protocol, such as h2c, and has its request answered.

A server may (RFC 9110, 7.8), and some clients ask with every first request. But httptools takes
what follows such a head for the other protocol: the body would be lost, or read as a next request.
So the head is read once more, without the header that asks.
"""

from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from sepal.gateway.http_protocol import BoundedHttp


class PatientParser(httptools.HttpRequestParser):
    """httptools's parser, put in the place of a protocol's own."""

    def __init__(self, protocol: "BoundedHttp") -> None:
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's has it
        self._protocol = protocol

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # nothing else ever comes
        """Read what has come; HttpParserError if it is no HTTP."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as asked:
            if self.get_method() == b"CONNECT":
                raise httptools.HttpParserError("this is no proxy") from asked
            protocol = self._protocol
            version = self.get_http_version().encode()
            head = [b"%s %s HTTP/%s\r\n" % (self.get_method(), protocol.url, version)]
            head += [b"%s: %s\r\n" % header for header in protocol.headers if header[0] != b"upgrade"]
            protocol.parser = PatientParser(protocol)
            protocol.parser.feed_data(b"".join((*head, b"\r\n", data[asked.args[0] :])))
