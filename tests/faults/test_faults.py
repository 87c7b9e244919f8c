"""The short form of every scenario, the quick ones with each change; `make faults` is the full one."""

from collections.abc import Awaitable

import pytest
import uvloop

from tests.faults import upstream
from tests.faults.results import Form, Result
from tests.faults.scenarios import SCENARIOS, trained_place
from tests.tiers import Place

pytestmark = pytest.mark.end_to_end

SHORT = Form(short=True)
QUICK = ("killed", "bodies")
"""Under a minute together. The others take longer, or measure speed and want the cores for themselves."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return trained_place(tmp_path_factory.mktemp("faults"))


def kept(scenario: Awaitable[Result]) -> None:
    """Run a scenario; no bound may be missed."""
    result = uvloop.run(scenario)
    missed = [
        f"{check.what}: {check.found}, bound {check.bound}" for check in result.checks if not check.kept
    ]
    assert not missed, "\n".join([*missed, str(result.measured)])


@pytest.mark.slow
def test_whatever_becomes_of_the_model_server_clients_get_right_answers_or_clean_problems(
    place: Place,
) -> None:
    async def all_of_them() -> Result:
        together = Result("upstream")
        async with upstream.a_pair(place) as pair:
            for name in upstream.SCENARIOS:
                found = await upstream.try_fault(name, pair, SHORT)
                together.checks += found.checks
                together.measured[name] = found.measured
        return together

    kept(all_of_them())


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_scenario_keeps_its_bounds(place: Place, name: str) -> None:
    kept(SCENARIOS[name](place, SHORT))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - upstream.SCENARIOS.keys() - set(QUICK)))
def test_a_scenario_keeps_its_bounds(place: Place, name: str) -> None:
    kept(SCENARIOS[name](place, SHORT))
