"""Load test: random rows for every model, one a request and a hundred, and every answer is checked.

    .venv/bin/locust -f loadtest/locustfile.py --headless -u 10 -r 10 -t 30s --host http://127.0.0.1:8000

It exits with 1 if one answer was wrong. It reads the contracts as the gateway does: set
SEPAL_MODELS and SEPAL_CONTRACTS_PATH as for the gateway under test.
"""

from collections.abc import Callable

from locust import FastHttpUser, constant
from traffic import fault, row

from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts
from sepal.settings import load_settings

ROWS = 100
"""Rows of a request that sends many."""

Task = Callable[["Client"], None]


def one_row(contract: Contract, what: str) -> Task:
    """A task that sends one row and checks its answer."""

    def task(user: "Client") -> None:
        user.send(contract, what, row(contract), rows=1)

    return task


def many_rows(contract: Contract, what: str) -> Task:
    """A task that sends `ROWS` rows and checks each answer."""

    def task(user: "Client") -> None:
        user.send(contract, what, [row(contract) for _ in range(ROWS)], rows=ROWS)

    return task


def tasks_of(contracts: dict[str, Contract]) -> dict[Task, int]:
    """Each task with its weight: for each model and route, eight single rows to one array."""
    tasks: dict[Task, int] = {}
    for contract in contracts.values():
        for what in ("predict", "predict-proba") if contract.target.has_probabilities else ("predict",):
            tasks[one_row(contract, what)] = 8
            tasks[many_rows(contract, what)] = 1
    return tasks


class Client(FastHttpUser):
    """A client that asks again as soon as it has its answer."""

    wait_time = constant(0)
    settings = load_settings()
    tasks = tasks_of(load_contracts(settings.contracts_path, settings.models))

    def send(self, contract: Contract, what: str, body: object, rows: int) -> None:
        """Post rows and count a wrong answer as a failure, whatever its status."""
        path = f"/{contract.name}/{what}"
        name = f"{path} ({rows} row{'s' if rows > 1 else ''})"
        with self.client.post(path, json=body, name=name, catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}: {response.text}")
                return
            try:
                answers = response.json() if rows > 1 else [response.json()]
            except ValueError:
                response.failure("the answer is no JSON")
                return
            if not isinstance(answers, list) or len(answers) != rows:
                response.failure(f"the answer is not one for each of {rows} rows")
                return
            for answer in answers:
                if wrong := fault(contract, answer, probabilities=what == "predict-proba"):
                    response.failure(wrong)
                    return
