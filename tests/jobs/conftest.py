"""Queues on every storage, really running, and a champion of irises to score with."""

import getpass
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp

import pytest

from sepal.jobs.queue import JobQueue
from sepal.jobs.records import Record, Request, Standing, fingerprint
from sepal.registry import Registry, Version
from sepal.settings import Settings
from tests.drafts import draft_of, small_pipeline
from tests.ports import free_port
from tests.redis_server import redis

LEASE = 30.0
"""Seconds: more than a busy machine lets a thread wait."""
_UP_WITHIN = 120.0


class Clock:
    """Seconds since 1970, which go on only if a test says so."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        """Let so much time go by."""
        self.now += seconds


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of its own."""
    port, folder = free_port(), tmp_path_factory.mktemp("redis")
    with redis(folder, port):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of its own, which must not run as root."""
    programs = [*Path("/usr/lib/postgresql").glob("*/bin")]
    if not programs:
        pytest.skip("there is no PostgreSQL on this machine: install Debian's package postgresql")
    is_root = os.geteuid() == 0
    user = "postgres" if is_root else getpass.getuser()
    folder = Path(mkdtemp(prefix="sepal_postgres_", dir="/tmp"))  # pytest's own is closed to others
    if is_root:
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()

    def as_user(program: str, *arguments: str) -> list[str]:
        command = [str(programs[-1] / program), *arguments]
        return (
            ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", *command]
            if is_root
            else command
        )

    try:
        subprocess.run(
            as_user("initdb", "-D", str(data), "-A", "trust", "-U", "sepal", "--no-sync"),
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        command = as_user(
            "postgres", "-D", str(data), "-p", str(port), "-k", str(folder), "-h", "127.0.0.1"
        )
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as server:
            url = f"postgresql://sepal@127.0.0.1:{port}/postgres"

            def probe() -> None:
                with closing(JobQueue(Settings(jobs_queue_url=url), "probe")) as queue:
                    queue.check_room()

            try:
                _wait_for(probe)
                yield url
            finally:
                server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
    finally:
        shutil.rmtree(folder)


def _wait_for(probe: Callable[[], object]) -> None:
    late = time.monotonic() + _UP_WITHIN
    while True:
        try:
            probe()
        except Exception:  # not up yet
            if time.monotonic() > late:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def jobs_settings(tmp_path: Path) -> Settings:
    """Leases that end in no test by themselves, and pauses that one can wait for."""
    return Settings(
        data_dir=tmp_path / "data",
        jobs_locations=(str(tmp_path),),
        jobs_lease=LEASE,
        jobs_retry_pause=0.1,
        jobs_retries=2,
        jobs_queued=20,
        bulk_memory=2**26,
    )


@pytest.fixture
def queue(jobs_settings: Settings) -> Iterator[JobQueue]:
    with closing(JobQueue(jobs_settings, "iris")) as queue:
        yield queue


@pytest.fixture
def champion(jobs_settings: Settings) -> Version:
    with Registry.open(jobs_settings) as registry:
        return registry.register(draft_of(small_pipeline()))


def submit(queue: JobQueue, key: str | None = None, **request: object) -> Standing:
    """Take on a job as the gateway does."""
    asked = Request.model_validate({"input": "/in/flowers.csv", **request})
    claim = queue.claim(key, fingerprint(asked.model_dump_json()))
    return queue.put(Record.make(claim.identity, "iris", asked, key=key))
