"""Clients that ask, wait for the answer and ask again, each on a connection that it keeps."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles

import aiohttp

from tests.faults.judge import PATH, PROBLEM, RIGHT, Judge

HUNG = "no answer"
NOT_CONNECTED = "not connected"


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request went. `sent` is by the monotonic clock, times in seconds."""

    sent: float
    seconds: float
    status: int
    verdict: str


@dataclass
class Answers:
    """How all requests went."""

    all: list[Answer] = field(default_factory=list)

    def faults(self) -> list[str]:
        """What is neither a right answer nor a clean problem."""
        return [answer.verdict for answer in self.all if answer.verdict not in (RIGHT, PROBLEM)]

    def right(self) -> int:
        """How many were answered right."""
        return sum(answer.verdict == RIGHT for answer in self.all)

    def longest(self) -> float:
        """The longest time to an answer, seconds."""
        return max((answer.seconds for answer in self.all), default=0.0)

    def recovery(self, back: float) -> float:
        """Seconds from a moment to the last request sent after it that got no right answer."""
        late = [answer.sent - back for answer in self.all if answer.sent > back and answer.verdict != RIGHT]
        return max(late, default=0.0)


async def load(
    url: str,
    judge: Judge,
    stop: Callable[[], bool],
    *,
    clients: int = 64,
    pause: float = 0.1,
    deadline: float = 5.0,
    grace: float = 0.5,
) -> Answers:
    """Have clients ask until `stop`, with a pause in seconds after each answer.

    A request that is not answered `grace` seconds after its deadline hangs.
    """
    answers = Answers()
    headers = {"Content-Type": "application/json", "X-Request-Deadline": f"{deadline:g}"}
    timeout = aiohttp.ClientTimeout(total=deadline + grace)
    connector = aiohttp.TCPConnector(limit=0)

    async def one(session: aiohttp.ClientSession) -> None:
        while not stop():
            index, sent, status = judge.draw(), time.monotonic(), 0
            try:
                async with session.post(url + PATH, data=judge.bodies[index]) as response:
                    status, body = response.status, await response.read()
                    given = {name.lower(): value for name, value in response.headers.items()}
                verdict = judge.verdict(index, status, given, body)
            except aiohttp.ClientConnectorError:
                verdict = NOT_CONNECTED
            except TimeoutError:
                verdict = HUNG
            except aiohttp.ClientError as error:
                verdict = f"cut off: {type(error).__name__}"
            answers.all.append(Answer(sent, time.monotonic() - sent, status, verdict))
            await asyncio.sleep(pause)

    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(clients):
            tasks.create_task(one(session))
            await asyncio.sleep(pause / clients)
    return answers


def percentile(seconds: list[float], percent: int) -> float:
    """A percentile, seconds; 0 of nothing."""
    return quantiles(seconds, n=100)[percent - 1] if len(seconds) > 1 else sum(seconds)
