"""What the gateway's /metrics says."""

import aiohttp

from tests.samples import samples_in
from tests.waiting import comes_async


async def samples(client: aiohttp.ClientSession) -> dict[str, float]:
    """What is counted, by name and values of labels."""
    async with client.get("/metrics") as response:
        assert response.status == 200
        text = await response.text()
    return samples_in(text)


async def comes_to(client: aiohttp.ClientSession, name: str, value: float) -> bool:
    """Whether something counted gets to this value, however busy the machine is."""

    async def is_there() -> bool:
        return (await samples(client)).get(name) == value

    return await comes_async(is_there)
