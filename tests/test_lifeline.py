"""A worker whose parent was killed does not go on holding the port."""

import signal
import subprocess
import sys

import psutil

from tests.tiers import lives
from tests.waiting import LONG, comes

CHILD = """
import time
from sepal.lifeline import end_with_parent
end_with_parent()
print(flush=True)
time.sleep(600)
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
        assert comes(lambda: not lives(child))


def test_a_child_that_is_told_a_parent_who_has_gone_already_ends_too() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    code = CHILD.replace("end_with_parent()\nprint", f"end_with_parent({gone.pid})\nprint")
    with subprocess.Popen([sys.executable, "-c", code]) as child:
        assert child.wait(LONG) == -signal.SIGTERM
