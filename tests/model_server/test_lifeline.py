"""A worker whose parent was killed does not go on holding the port."""

import subprocess
import sys

import psutil

from tests.waiting import comes

CHILD = """
import time
from sepal.model_server.lifeline import end_with_parent
end_with_parent()
print(flush=True)
time.sleep(60)
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_a_child_ends_soon_after_its_parent_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        parent.stdout.readline()  # the child watches now
        [child] = psutil.Process(parent.pid).children()
        parent.kill()
        parent.wait()
        assert comes(lambda: not runs(child))


def runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
