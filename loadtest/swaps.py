"""Promotes and rolls back under load: no request may fail, and each answer must be its named version's.

With both tiers running on a registry that has two or more versions of iris that load:

    python -m loadtest.swaps --seconds 60
"""

import argparse
import asyncio
import itertools
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from statistics import quantiles
from typing import Any

import aiohttp
import numpy as np

from loadtest.traffic import row
from sepal.contracts import Contract, Labels
from sepal.contracts.iris import contract as iris
from sepal.registry import Registry
from sepal.scoring.scorer import load_version
from sepal.settings import Settings, load_settings

RATE, SECONDS, EVERY = 200.0, 60.0, 3.0


@dataclass(frozen=True)
class Answer:
    """The answer to one row. Times are Unix time, seconds."""

    row: Mapping[str, Any]
    sent: float
    received: float
    status: int
    body: Any


@dataclass
class Run:
    """What was answered, and what the moves of the champion said."""

    answers: list[Answer] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)

    def failed(self) -> list[Answer]:
        """Answers that are none."""
        return [answer for answer in self.answers if answer.status != 200]

    def longest_gap(self) -> float:
        """The longest time between two answers, seconds."""
        received = sorted(answer.received for answer in self.answers)
        return max(later - earlier for earlier, later in itertools.pairwise(received))

    def latency(self) -> tuple[float, float, float]:
        """p50, p99 and the longest time from request to answer, milliseconds."""
        times = [1000 * (answer.received - answer.sent) for answer in self.answers]
        cuts = quantiles(times, n=100)
        return cuts[49], cuts[98], max(times)


async def drive(url: str, move: Callable[[], str], *, rate: float, seconds: float, every: float) -> Run:
    """Send rows of iris at a steady rate, and move the champion again and again meanwhile."""
    run = Run()
    end = time.time() + seconds

    async def one(session: aiohttp.ClientSession) -> None:
        asked, sent = row(iris), time.time()
        try:
            async with session.post("/iris/predict-proba", json=asked) as response:
                status, body = response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            status, body = 0, repr(error)
        run.answers.append(Answer(asked, sent, time.time(), status, body))

    async def moves() -> None:
        while (started := time.time()) < end - every / 2:
            run.moves.append(await asyncio.to_thread(move))
            await asyncio.sleep(max(0.0, started + every - time.time()))

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector) as session, asyncio.TaskGroup() as tasks:
        tasks.create_task(moves())
        due = time.time()
        while due < end:
            tasks.create_task(one(session))
            due += 1 / rate
            await asyncio.sleep(max(0.0, due - time.time()))
    return run


def wrong(run: Run, settings: Settings) -> list[Answer]:
    """The answers that differ from what the version that they name gives in this process."""
    by_version: dict[str, list[Answer]] = {}
    for answer in run.answers:
        if answer.status == 200:
            by_version.setdefault(answer.body["model_name"], []).append(answer)
    found = []
    with Registry.open(settings) as registry:
        for name, answers in by_version.items():
            version = load_version(registry.version("iris", name), iris, registry.artefacts, compiled=False)
            rows = iris.encode([iris.features.model_validate(answer.row) for answer in answers])
            expected = version.score(np.frombuffer(rows).reshape(len(answers), -1))
            found += [a for a, one in zip(answers, expected, strict=True) if not _is(iris, a.body, one)]
    return found


def slowest_swap(run: Run, settings: Settings) -> float:
    """The longest time from a move in the audit trail to the last answer by another version, seconds."""
    with Registry.open(settings) as registry:
        trail = [entry for entry in registry.trail("iris") if entry.action in ("promote", "rollback")]
    first = min(answer.sent for answer in run.answers)
    moved = [(entry.at.replace(tzinfo=UTC).timestamp(), entry.version) for entry in trail]
    moved = [(at, version) for at, version in moved if at >= first]
    return max(
        (
            answer.received - at
            for (at, version), (end, _) in itertools.pairwise([*moved, (float("inf"), "")])
            for answer in run.answers
            if at <= answer.received < end and answer.status == 200 and answer.body["model_name"] != version
        ),
        default=0.0,
    )


def alternating(versions: Sequence[str]) -> Iterator[list[str]]:
    """Arguments of `sepal models`: promote one that is not champion, roll back, and so on."""
    for version in itertools.cycle(versions):
        yield ["promote", "iris", version, "--why", "loadtest"]
        yield ["rollback", "iris", "--why", "loadtest"]


def main() -> int:
    """Run against the tiers that are running; 1 if a request failed or an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between two moves")
    options = parser.parse_args()
    settings = load_settings()
    with Registry.open(settings) as registry:
        versions = registry.versions("iris")
    others = [v.name for v in versions if not v.aliases and v.state != "rejected"]
    commands = alternating(others)

    def move() -> str:
        command = [sys.executable, "-c", "from sepal.cli import main; main()", "models", *next(commands)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    url = f"http://{settings.gateway_host}:{settings.gateway_port}"
    rates = {"rate": options.rate, "seconds": options.seconds, "every": options.every}
    run = asyncio.run(drive(url, move, **rates))
    faults = len(run.failed()), len(wrong(run, settings))
    p50, p99, longest = run.latency()
    print(  # noqa: T201 (what the script is for)
        f"{len(run.answers):,} requests, {len(run.moves)} moves: {faults[0]} failed, {faults[1]} wrong\n"
        f"answers by {', '.join(sorted({a.body['model_name'] for a in run.answers if a.status == 200}))}\n"
        f"longest gap between answers {1000 * run.longest_gap():.0f} ms; "
        f"slowest swap {slowest_swap(run, settings):.2f} s\n"
        f"latency p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {longest:.0f} ms"
    )
    return 1 if any(faults) else 0


def _is(contract: Contract, body: Mapping[str, Any], expected: Any) -> bool:  # noqa: ANN401 (a row of numpy's)
    assert isinstance(contract.target, Labels)  # noqa: S101 (iris has labels)
    _, label, *probabilities = expected.tolist()
    return bool(
        body["output"] == contract.target.names[int(label)]
        and np.allclose(list(body["probabilities"].values()), probabilities, rtol=0, atol=1e-12)
    )


if __name__ == "__main__":
    random.seed(0)
    sys.exit(main())
