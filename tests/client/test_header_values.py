"""Credentials and trial keys that can't be sent in a header are told by their names, and not shown."""

import pytest

from sepal.client import Client
from sepal.errors import ConfigurationError, DataError
from tests.client.conftest import Either, good, scripted
from tests.gateway.conftest import IRIS


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("sëcret", "character 2 of 6 is not printable ASCII"),
        ("secret\n", "character 7 of 7 is a line break"),
        ("secret ", "it begins or ends with a blank"),
    ],
)
@pytest.mark.parametrize("name", ["api_key", "token"])
def test_credentials_are_looked_at_when_the_client_is_made(name: str, value: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"The {name} can't be sent: {why}") as told:
        Client(**{name: value})  # type: ignore[arg-type]
    assert "cret" not in str(told.value)


async def test_a_token_that_is_made_for_each_call_is_looked_at_too(make: type[Either]) -> None:
    async with scripted(good) as service:
        with pytest.raises(ConfigurationError, match=r"The token can't be sent: .* See the function"):
            await make(service.url, token=lambda: "secret\r\n").predict("iris", IRIS)
        assert service.requests == []


@pytest.mark.parametrize("key", ["Zoë", "user\n7"])
async def test_a_trial_key_is_looked_at_with_its_call(make: type[Either], key: str) -> None:
    async with scripted(good) as service:
        with pytest.raises(DataError, match="The trial_key can't be sent: character"):
            await make(service.url).predict("iris", IRIS, trial_key=key)
        assert service.requests == []
