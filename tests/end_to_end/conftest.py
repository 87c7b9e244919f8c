"""What was trained once for all tests here, and both tiers running on it.

Each file is for one process of pytest-xdist (`TiersByFile` in tests/conftest.py).
"""

from collections.abc import Iterator

import pytest

from tests.tiers import IRIS, RIDE, Place, Served, place_in, serving

__all__ = ["IRIS", "RIDE", "Place", "Served", "place_in", "serving"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A champion of each model that ships."""
    place = place_in(tmp_path_factory.mktemp("trained") / "data")
    place.sepal("train", "iris")
    place.sepal("train", "ride_duration")
    return place


@pytest.fixture(scope="session")
def served(trained: Place) -> Iterator[Served]:
    """Both tiers for the tests that leave them as they are."""
    with serving(trained) as served:
        yield served
