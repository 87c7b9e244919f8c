"""What goes to the executors: the job, the version with its artefact, and the spans of files to score."""

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import polars as pl

import sepal.contracts
from sepal.bulk.answers import Model, load_model
from sepal.bulk.files import InputFile, filesystem_of
from sepal.bulk.job import Job
from sepal.bulk.outputs import Output
from sepal.bulk.plan import Plan, Sizes
from sepal.bulk.rows import Position
from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts
from sepal.registry.artefacts import EVALUATOR, FILES, ArtefactStore, stored_as
from sepal.registry.versions import Version
from sepal.settings import Settings


class Span(NamedTuple):
    """A part of a file that one task scores, between two ends of chunks; without them, all of it."""

    file: int
    start: Position | None = None
    end: Position | None = None

    @classmethod
    def load(cls, dumped: Sequence[Any]) -> "Span":
        """The inverse of dumping as JSON."""
        file, *ends = dumped
        return cls(file, *(None if end is None else Position(*end) for end in ends))


class FileName(NamedTuple):
    """A file as `InputFile` has it, without the file system, which every machine opens by itself."""

    path: str
    size: int
    modified: datetime | None


@dataclass(frozen=True)
class Shipment:
    """All that scoring needs beside the installed package; no registry and no settings."""

    job: Job
    version: Version
    artefact: Mapping[str, bytes]
    trusted: Sequence[str]
    compiled: bool
    contract_source: bytes | None
    files: Sequence[FileName]
    sizes: Sizes
    keep: Mapping[str, pl.DataType]
    date_parts: Sequence[str]

    @classmethod
    def of(cls, plan: Plan, model: Model, settings: Settings) -> "Shipment":
        """What the executors need for a plan."""
        version = model.version
        folder = ArtefactStore(settings.bentoml_home).folder(version.tag)
        names = [name for name in (FILES[stored_as(version)], EVALUATOR) if (folder / name).exists()]
        return cls(
            plan.job,
            version,
            {name: (folder / name).read_bytes() for name in names},
            settings.trusted_types,
            settings.compiled_scoring == "on",
            _source_of(plan.contract),
            [FileName(file.path, file.size, file.modified) for file in plan.files],
            plan.sizes,
            plan.keep,
            plan.date_parts,
        )

    def unpack(self) -> tuple[Plan, Model]:
        """The plan, and the version checked and loaded as on the driver."""
        with TemporaryDirectory() as made:
            folder = Path(made)
            contract = self._contract(folder)
            filesystem, _ = filesystem_of(self.job.input)
            plan = Plan(
                self.job,
                contract,
                [InputFile(*name, filesystem) for name in self.files],
                self.sizes,
                Output.of(self.job.output, self.job.format_of_output, self.job.partition_by),
                self.keep,
                self.date_parts,
            )
            return plan, self._model(contract, folder)

    def _contract(self, folder: Path) -> Contract:
        if self.contract_source is None:
            return load_contracts()[self.version.model]
        (folder / f"{self.version.model}.py").write_bytes(self.contract_source)
        return load_contracts([folder])[self.version.model]

    def _model(self, contract: Contract, folder: Path) -> Model:
        artefacts = ArtefactStore(folder, trusted=self.trusted)
        place = artefacts.folder(self.version.tag)
        place.mkdir(parents=True)
        for name, content in self.artefact.items():
            (place / name).write_bytes(content)
        return load_model(
            self.version,
            contract,
            artefacts,
            proba=self.job.proba,
            prediction_name=self.job.prediction_name,
            position_name=self.job.position_name,
            label_names=self.job.label_names,
            compiled=self.compiled,
        )


@dataclass(frozen=True)
class Packed:
    """A shipment as bytes, and their SHA-256."""

    content: bytes
    sha256: str

    @classmethod
    def of(cls, shipment: Shipment) -> "Packed":
        """Pack a shipment."""
        content = pickle.dumps(shipment, protocol=5)
        return cls(content, hashlib.sha256(content).hexdigest())


_unpacked: dict[str, tuple[Plan, Model]] = {}
"""What this process has unpacked last, by its SHA-256: an executor's process serves many tasks."""


def unpacked(packed: Packed) -> tuple[Plan, Model]:
    """The plan and the loaded version of a shipment, unpacked once a process."""
    if packed.sha256 not in _unpacked:
        _unpacked.clear()
        shipment: Shipment = pickle.loads(packed.content)  # noqa: S301 (the driver's)
        _unpacked[packed.sha256] = shipment.unpack()
    return _unpacked[packed.sha256]


def _source_of(contract: Contract) -> bytes | None:
    """The file that defines a contract; None if it comes with Sepal."""
    own = Path(str(sepal.contracts.__file__)).parent
    return None if contract.source.parent == own else contract.source.read_bytes()
