"""The fast route against the declared one, for very many bodies."""

from tests.gateway.bodies import answered_alike
from tests.gateway.conftest import FakeModelServer


async def test_ten_thousand_good_and_bad_bodies_are_answered_alike(model_server: FakeModelServer) -> None:
    await answered_alike(model_server, 10_000)
