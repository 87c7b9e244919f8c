"""How much of what was sent the system still keeps, because the other side has not taken it in."""

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress


def in_the_system(transport: asyncio.Transport) -> int:
    """Bytes in a socket's queue of the system that the other side has not confirmed; 0 if it won't tell.

    Megabytes fit into that queue, and a process may write on only when a third of it is free. So
    a slow reader goes on for minutes while the process's own buffer stays as it is.
    Source: SIOCOUTQ of https://man7.org/linux/man-pages/man7/tcp.7.html, which is Linux's TIOCOUTQ.
    """
    own = transport.get_extra_info("socket")
    answer = struct.pack("i", 0)
    with suppress(OSError):
        answer = fcntl.ioctl(own.fileno(), termios.TIOCOUTQ, answer)
    (size,) = struct.unpack("i", answer)
    return int(size)
