"""`sepal bento`: packs champions into a bento."""

import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from sepal.cli.terminal import say
from sepal.contracts.catalogue import load_contracts
from sepal.settings import load_settings


def bento(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models to pack; by default those in SEPAL_MODELS, or all.")
    ] = None,
    requirements: Annotated[
        Path,
        typer.Option(help="What its image installs, with hashes; `make bento` writes it from the lock."),
    ] = Path("requirements.txt"),
    bentofile: Annotated[Path, typer.Option(help="How the bento is built.")] = Path("bentofile.yaml"),
    export: Annotated[
        Path | None, typer.Option(help="Also write it, its models included, to this file.")
    ] = None,
) -> None:
    """Pack the champions and the code that answers with them into a bento, each version pinned.

    The bento needs no registry: it carries the record of each version, checksum and
    contract included, and refuses files that are not those. Each is loaded and answers its
    contract's example first. The last line that is printed is the bento's tag.
    """
    from sepal.packing import bento as bentos
    from sepal.packing.context import lay_out
    from sepal.registry import Registry
    from sepal.scoring.scorer import load_version

    settings = load_settings()
    contracts = load_contracts(settings.contracts_path, models or settings.models)
    with Registry.open(settings) as registry:
        versions = [registry.champion(name) for name in contracts]
        for version in versions:
            load_version(version, contracts[version.model], registry.artefacts, compiled=False)
    with TemporaryDirectory() as stage:
        number = lay_out(Path(stage), bentofile.resolve(), requirements, versions, settings.contracts_path)
        if not bentos.is_there(settings, number):
            bentos.build(settings, Path(stage), bentofile.name, number, list(contracts))
    say(f"Packed {', '.join(version.tag for version in versions)}.")
    if export is not None:
        bentos.export(settings, number, export)
        # Its whole path: BentoML 1.4 takes a relative one as from the root.
        say(f"It is in {export} too: bentoml import {shlex.quote(str(export.resolve()))}")
    say(f"The bento is in BENTOML_HOME={settings.bentoml_home}")
    say(bentos.tag_of(number))
