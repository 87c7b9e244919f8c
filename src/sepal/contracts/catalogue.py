"""Finds things that are defined one a file: contracts here, recipes in training."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import sepal.contracts
from sepal.contracts.contract import Contract
from sepal.errors import ConfigurationError, DuplicateNameError, NotFoundError

T = TypeVar("T")


def load_contracts(extra_folders: Iterable[Path] = (), only: Iterable[str] = ()) -> dict[str, Contract]:
    """Contracts by name: those that come with Sepal, then those in `extra_folders`.

    With `only`, these alone; NotFoundError if one is not there. Raises DuplicateNameError
    naming both files if two contracts have one name, ConfigurationError if a file can't
    be imported.
    """
    found = collect(Contract, sepal.contracts, extra_folders, lambda c: c.name, lambda c: c.source)
    return {name: pick(found, name, "model") for name in only} or found


def pick(things: dict[str, T], name: str, what: str) -> T:
    """The thing of that name, or a NotFoundError that says which there are."""
    if name not in things:
        there = ", ".join(sorted(things)) or "none"
        raise NotFoundError(f"There is no {what} {name!r}. There are: {there}.")
    return things[name]


def collect(
    kind: type[T],
    package: ModuleType,
    extra_folders: Iterable[Path],
    name_of: Callable[[T], str],
    source_of: Callable[[T], Path],
) -> dict[str, T]:
    """The module-level objects of `kind` in a package's modules and in the files of folders, by name."""
    found: dict[str, T] = {}
    for module in _modules(package, extra_folders):
        for thing in vars(module).values():
            if not isinstance(thing, kind) or found.get(name_of(thing)) is thing:
                continue
            if other := found.get(name_of(thing)):
                raise DuplicateNameError(
                    f"Two {kind.__name__.lower()}s are named {name_of(thing)!r}: "
                    f"one in {source_of(other)}, one in {source_of(thing)}. Rename one."
                )
            found[name_of(thing)] = thing
    return found


def _modules(package: ModuleType, extra_folders: Iterable[Path]) -> Iterable[ModuleType]:
    for path in _python_files(Path(str(package.__file__)).parent):
        yield importlib.import_module(f"{package.__name__}.{path.stem}")
    for folder in extra_folders:
        if not folder.is_dir():
            raise ConfigurationError(f"{folder} is set as a folder to look in and is not there.")
        for path in _python_files(folder.resolve()):
            yield _import_file(path)


def _python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _import_file(path: Path) -> ModuleType:
    """Import a file that belongs to no package, once, under a name made from its path."""
    name = f"sepal_found_{path.stem}_{sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    loader = SourceFileLoader(name, str(path))
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigurationError(f"{path} can't be imported: {error}") from error
    return module
