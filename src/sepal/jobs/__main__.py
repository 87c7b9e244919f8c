"""Starts a worker in the foreground: `python -m sepal.jobs`, or `sepal worker`."""

import logging
import signal
from collections.abc import Sequence

from sepal.contracts.catalogue import load_contracts
from sepal.errors import told_in_one_line
from sepal.settings import load_settings, misspelt
from sepal.telemetry.logs import log_of_process


def main(models: Sequence[str] = ()) -> None:
    """Run jobs of these models, or of those in the settings, until a signal says stop."""
    from sepal.jobs.worker import Worker

    settings = load_settings()
    log = log_of_process(settings)
    for remark in misspelt():
        logging.getLogger(__package__).warning(remark)
    contracts = load_contracts(settings.contracts_path, models or settings.models)
    worker = Worker(settings, contracts, logging.getLogger(__package__).info)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    worker.work()
    log.writer.close()


if __name__ == "__main__":
    with told_in_one_line():
        main()
