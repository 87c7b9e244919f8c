"""`sepal worker`: runs the jobs of bulk scoring that the gateway takes on."""

from typing import Annotated

import typer


def worker(
    models: Annotated[
        list[str] | None, typer.Argument(help="Models whose jobs to run; by default SEPAL_MODELS, or all.")
    ] = None,
) -> None:
    """Take jobs from the queue and run them, one at a time, until Ctrl-C.

    Ctrl-C and SIGTERM put the job that runs back at its next chunk: the next worker goes on
    where this one stood. Start as many workers as there are machines for them.
    """
    from sepal.jobs.__main__ import main

    main(models or ())
