"""LitServe with batching, as its guide describes it."""

import os

import litserve
import numpy as np

from loadtest.systems.model import LABELS, fit


class IrisAPI(litserve.LitAPI):
    """Each request holds rows; a batch is a list of requests' rows."""

    def setup(self, device: str) -> None:
        """Fit the model once in the worker."""
        self.model = fit()

    def decode_request(self, request: dict[str, list[list[float]]]) -> np.ndarray:
        """Rows (n_rows, 4)."""
        return np.asarray(request["rows"], dtype=float)

    def batch(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Requests may differ in rows, so they stay apart until they are scored."""
        return inputs

    def predict(self, batch: list[np.ndarray]) -> list[np.ndarray]:
        """Class indices of all rows, then cut back into requests."""
        ends = np.cumsum([len(rows) for rows in batch])[:-1]
        return np.split(self.model.predict(np.concatenate(batch)), ends)

    def unbatch(self, output: list[np.ndarray]) -> list[np.ndarray]:
        """One answer a request."""
        return output

    def encode_response(self, output: np.ndarray) -> dict[str, list[str]]:
        """Labels."""
        return {"output": [LABELS[index] for index in output]}


if __name__ == "__main__":
    # A batch timeout of 0 takes what is waiting: at these rates quicker than any pause.
    server = litserve.LitServer(
        IrisAPI(max_batch_size=64, batch_timeout=0.0), accelerator="cpu", workers_per_device=1
    )
    server.run(
        host="127.0.0.1", port=int(os.environ["PORT"]), num_api_servers=1, generate_client_file=False
    )
