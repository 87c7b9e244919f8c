"""Ends a worker whose parent has died.

BentoML's workers are children of a process that restarts them. If that one is killed,
they would go on holding the port, and nobody could take their place.
"""

import os
import signal
import threading
import time

INTERVAL = 0.1
"""Seconds between two looks."""


def end_with_parent() -> None:
    """Watch the parent from a thread of its own; when it is gone, ask this process to stop."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(INTERVAL)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
