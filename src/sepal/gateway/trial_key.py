"""The header `X-Trial-Key`: requests with the same one meet the same version while a canary runs.

A user's or a session's id, say. Only a number made of it leaves the gateway.
"""

from hashlib import blake2b

from starlette.types import Scope

HEADER = "X-Trial-Key"

_NAME = HEADER.lower().encode()


def trial_key(scope: Scope) -> float | None:
    """The number in [0, 1) of a request's key, the same in every process; None if it has none."""
    for name, value in scope["headers"]:
        if name == _NAME and value:
            return (int.from_bytes(blake2b(value, digest_size=8).digest(), "big") >> 11) / 2**53
    return None
