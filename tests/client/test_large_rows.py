"""Rows that are too many bytes for one request go in several, before the real gateway."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sepal.contracts.catalogue import load_contracts
from sepal.errors import RequestRefusedError, TooLargeError
from tests.client.conftest import Either
from tests.gateway.conftest import FakeModelServer, gateway, model_server, settings_for

__all__ = ["model_server"]

FEATURES = 120
CONTRACT = """
from pydantic import create_model
from sepal.contracts import Contract, Features, Labels, feature

fields = {
    f"measured_value_number_{at}": (float, feature(example=1, description="A value."))
    for at in range(120)
}
Wide = create_model("Wide", __base__=Features, __doc__="Many values.", **fields)
contract = Contract(
    name="wide",
    features=Wide,
    target=Labels(names=("none", "one", "two"), column="what", example="one"),
)
"""


def wide(count: int) -> list[dict[str, float]]:
    """Rows of about 4 kB of JSON, whose label the fake model tells from their first value."""
    rest = {f"measured_value_number_{at}": 0.1234567890123 for at in range(1, FEATURES)}
    return [{"measured_value_number_0": float(at % 29), **rest} for at in range(count)]


@pytest.fixture
async def url(model_server: FakeModelServer, tmp_path: Path) -> AsyncIterator[str]:
    """Of a gateway that takes 300 kB at once."""
    (tmp_path / "wide.py").write_text(CONTRACT)
    model_server.contracts = load_contracts((tmp_path,))
    model_server.status["wide"] = {"version": "fake_7"}
    settings = settings_for(
        model_server,
        contracts_path=(tmp_path,),
        models=("wide",),
        max_body_bytes=300_000,
        max_rows=1_000,
        request_timeout=60,
    )
    async with gateway(settings) as session:
        yield str(session._base_url)


async def test_5000_rows_of_120_features_are_cut_by_their_bytes(make: type[Either], url: str) -> None:
    rows = wide(5_000)
    answers = await make(url, timeout=120).predict("wide", rows)
    names = ("none", "one", "two")
    assert [answer.output for answer in answers] == [
        names[int(row["measured_value_number_0"]) % 3] for row in rows
    ]


async def test_what_was_too_large_once_is_not_sent_again(
    make: type[Either], url: str, model_server: FakeModelServer
) -> None:
    client = make(url, timeout=120, concurrency=1)
    await client.predict("wide", wide(100))
    calls = model_server.calls
    assert calls >= 2
    most = client.client._core._most_bytes
    await client.predict("wide", wide(100))
    assert client.client._core._most_bytes == most
    assert model_server.calls == 2 * calls


async def test_the_place_of_a_wrong_value_is_that_among_all_rows(make: type[Either], url: str) -> None:
    rows: list[dict[str, object]] = [*wide(400)]
    rows[333] = {**rows[333], "measured_value_number_7": "much"}
    with pytest.raises(RequestRefusedError, match="333/measured_value_number_7"):
        await make(url, timeout=120).predict("wide", rows)


async def test_a_row_that_is_too_large_by_itself_is_refused(make: type[Either], url: str) -> None:
    row = {**wide(1)[0], "measured_value_number_3": "9" * 400_000}
    for rows in (row, [row, row]):
        with pytest.raises(TooLargeError, match="413"):
            await make(url, timeout=120).predict("wide", rows)
