"""Readiness: whether every model that the gateway serves has answered a row just now."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from sepal.contracts import Contract
from sepal.errors import ModelServerUnavailableError, UpstreamError
from sepal.gateway.bounds import Bounds
from sepal.gateway.status import ModelStatus, RefusedVersion
from sepal.gateway.upstream import ModelServer


class ModelReadiness(BaseModel):
    """Whether one model answers."""

    ready: bool
    version: str | None = Field(None, description="The version that answered.", examples=["log_reg_1"])
    reason: str | None = Field(None, description="Why it does not answer.")
    refused: RefusedVersion | None = Field(
        None,
        description="The new champion that could not be loaded; the version before it goes on.",
        exclude_if=lambda refused: refused is None,
    )


@dataclass(frozen=True)
class Answering:
    """The versions that answer for one model: its champion, and a canary's challenger if one runs."""

    champion: str
    challenger: str | None = None

    @property
    def versions(self) -> list[str]:
        """Their names, the champion's first."""
        return [self.champion, *([self.challenger] if self.challenger else [])]


class Readiness:
    """Asks the model server, at most once every `cache` seconds, however many ask.

    Once the process closes its connections, since it is about to stop, nothing is ready.
    """

    def __init__(
        self, model_server: ModelServer, contracts: Sequence[Contract], cache: float, bounds: Bounds
    ) -> None:
        self._model_server = model_server
        self._contracts = contracts
        self._cache = cache
        self._lock = asyncio.Lock()
        self._known: dict[str, ModelReadiness] = {}
        self._status: dict[str, ModelStatus] = {}
        self._until = float("-inf")
        self._bounds = bounds

    async def check(self) -> dict[str, ModelReadiness]:
        """The readiness of each model."""
        if self._bounds.closing:
            stopping = ModelReadiness(ready=False, reason="The gateway is about to stop.")
            return {contract.name: stopping for contract in self._contracts}
        async with self._lock:
            if time.monotonic() >= self._until:
                self._known = await self._ask()
                self._until = time.monotonic() + self._cache
            return self._known

    async def answering(self, model: str) -> Answering:
        """The versions that answer for a model; ModelServerUnavailableError if it is not ready."""
        found = (await self.check())[model]
        if not found.ready:
            raise ModelServerUnavailableError(f"{model} is not ready: {found.reason}")
        status = self._status[model]
        challenger = status.trial.version if status.trial and status.trial.answers else None
        return Answering(status.version or str(found.version), challenger)

    async def versions(self) -> dict[str, list[dict[str, Any]]]:
        """Every version of each model as the model server's registry has them."""
        return await self._model_server.versions()

    async def _ask(self) -> dict[str, ModelReadiness]:
        try:
            self._status = status = await self._model_server.status()
        except UpstreamError as error:
            away = ModelReadiness(ready=False, reason=str(error))
            return {contract.name: away for contract in self._contracts}
        asked = (self._ping(contract, status.get(contract.name)) for contract in self._contracts)
        return {
            contract.name: answer
            for contract, answer in zip(self._contracts, await asyncio.gather(*asked), strict=True)
        }

    async def _ping(self, contract: Contract, status: ModelStatus | None) -> ModelReadiness:
        if status is None:
            return ModelReadiness(ready=False, reason=f"The model server does not serve {contract.name}.")
        if status.error is not None:
            return ModelReadiness(ready=False, reason=status.error)
        example = contract.features.model_validate(contract.example)
        try:
            answers = await self._model_server.score(contract, contract.encode([example]))
        except UpstreamError as error:
            return ModelReadiness(ready=False, reason=str(error))
        return ModelReadiness(
            ready=True,
            version=answers.versions[answers.numbers[0]],
            refused=status.refused,
        )
