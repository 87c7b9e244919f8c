"""What the protocols are given: the models, and how to have their rows scored."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastapi import HTTPException, Request

from sepal.contracts import Contract
from sepal.contracts.catalogue import pick
from sepal.contracts.columns import ColumnEncoder, Columns
from sepal.errors import ConfigurationError, ModelServerUnavailableError
from sepal.gateway.answers import Answers
from sepal.gateway.deadline import patience
from sepal.gateway.prediction import Predictor
from sepal.gateway.protocols.bodies import read_body
from sepal.gateway.readiness import Readiness
from sepal.gateway.request_context import context_of
from sepal.gateway.trial_key import trial_key
from sepal.settings import Settings

VERSION_HEADER = "X-Model-Version"
"""Of an answer whose format has no place for it: the version that gave it, or the versions, by commas."""


@dataclass(frozen=True)
class Served:
    """The models that are served, and the one way in which every protocol has rows scored."""

    contracts: Mapping[str, Contract]
    predictor: Callable[[str], Predictor]
    readiness: Callable[[], Readiness]
    settings: Settings
    encoders: Mapping[str, ColumnEncoder] = field(init=False)

    def __post_init__(self) -> None:
        name = self.settings.default_model
        if name and name not in self.contracts:
            raise ConfigurationError(
                f"SEPAL_DEFAULT_MODEL={name!r} is not served. There are: {', '.join(self.contracts)}."
            )
        encoders = {name: ColumnEncoder(contract) for name, contract in self.contracts.items()}
        object.__setattr__(self, "encoders", encoders)

    def contract(self, name: str) -> Contract:
        """The contract of a model; NotFoundError says which there are."""
        return pick(dict(self.contracts), name, "model")

    @property
    def default(self) -> Contract | None:
        """The model that is meant where none is named: the one that is set, or the only one."""
        if self.settings.default_model:
            return self.contracts[self.settings.default_model]
        return next(iter(self.contracts.values())) if len(self.contracts) == 1 else None

    async def read(self, request: Request, contract: Contract | None = None) -> bytes:
        """A request's body, unless it is too long, or no row of the model has a chance now."""
        if contract is not None:
            seconds = patience(request.scope, self.settings.request_timeout)
            self.predictor(contract.name).admit(seconds)
        return await read_body(request, self.settings.max_body_bytes)

    async def check_ready(self, request: Request) -> None:
        """ModelServerUnavailableError if a model does not answer; which, is not for strangers."""
        try:
            for name in self.contracts:
                await self.readiness().answering(name)
        except ModelServerUnavailableError:
            if context_of(request.scope).is_from_a_stranger:
                raise ModelServerUnavailableError("A model does not answer.") from None
            raise

    async def score(
        self, request: Request, contract: Contract, columns: Columns, n_rows: int, key: float | None = None
    ) -> Answers:
        """The answers to rows that came as columns, or WrongValuesError."""
        if n_rows > self.settings.max_rows:
            raise HTTPException(413, f"{n_rows} rows are too many: send at most {self.settings.max_rows}.")
        return await self.score_encoded(
            request, contract, self.encoders[contract.name].encode(columns, n_rows), key
        )

    async def score_encoded(
        self, request: Request, contract: Contract, rows: bytes, key: float | None = None
    ) -> Answers:
        """The answers to encoded rows; `key` goes before the request's trial key."""
        key = trial_key(request.scope) if key is None else key
        deadline = time.monotonic() + patience(request.scope, self.settings.request_timeout)
        gone = context_of(request.scope).gone
        return await self.predictor(contract.name).score(rows, gone, key, deadline)


def versions_of(contract: Contract, answers: Answers) -> list[str]:
    """The versions that gave some answers, by their numbers; mostly one, in a canary perhaps two."""
    numbers = set(answers.numbers[0 :: contract.answer_width])
    return [answers.versions[number] for number in sorted(numbers)]


def version_header(contract: Contract, answers: Answers) -> dict[str, str]:
    """The header that names these versions."""
    return {VERSION_HEADER: ",".join(versions_of(contract, answers))}
