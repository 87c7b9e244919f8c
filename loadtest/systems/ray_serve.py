"""Ray Serve with one replica and dynamic request batching, as its guide describes it."""

import os
import tempfile

import numpy as np
import ray
from ray import serve
from starlette.requests import Request

from loadtest.systems.model import LABELS, fit


@serve.deployment(num_replicas=1, max_ongoing_requests=256)
class Scorer:
    """Scores `{"rows": [[5, 2, 3, 4]]}`."""

    def __init__(self) -> None:
        self.model = fit()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.001)
    async def score(self, requests: list[np.ndarray]) -> list[np.ndarray]:
        """Class indices of all rows, then cut back into requests."""
        ends = np.cumsum([len(rows) for rows in requests])[:-1]
        return np.split(self.model.predict(np.concatenate(requests)), ends)

    async def __call__(self, request: Request) -> dict[str, list[str]]:
        """Labels."""
        rows = np.asarray((await request.json())["rows"], dtype=float)
        return {"output": [LABELS[index] for index in await self.score(rows)]}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1", _temp_dir=folder,
            object_store_memory=200 * 2**20,
        )  # fmt: skip
        serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
        serve.run(Scorer.bind(), route_prefix="/predict", blocking=True)
