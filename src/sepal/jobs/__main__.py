"""Starts a worker in the foreground: `python -m sepal.jobs`, or `sepal worker`."""

import logging
import signal
import sys
from collections.abc import Sequence

from sepal.contracts.catalogue import load_contracts
from sepal.errors import told_in_one_line
from sepal.settings import load_settings


def main(models: Sequence[str] = ()) -> None:
    """Run jobs of these models, or of those in the settings, until a signal says stop."""
    from sepal.jobs.worker import Worker

    settings = load_settings()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    worker = Worker(settings, load_contracts(settings.contracts_path, models or settings.models), _say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    worker.work()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with told_in_one_line():
        main()
