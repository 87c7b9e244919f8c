"""Ends a worker whose parent has died.

The workers of either tier are children of a process that restarts them. If that one is
killed, they would go on holding the port, and nobody could take their place.
"""

import os
import signal
import threading
import time

INTERVAL = 0.1
"""Seconds between two looks."""


def end_with_parent(parent: int | None = None, by: signal.Signals = signal.SIGTERM) -> None:
    """Watch the parent from a thread of its own; when it is gone, ask this process to stop.

    `parent` is its number; without it, whoever is the parent now.
    """
    watched = os.getppid() if parent is None else parent

    def watch() -> None:
        while os.getppid() == watched:
            time.sleep(INTERVAL)
        os.kill(os.getpid(), by)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
