"""A BentoML service with adaptive batching, as its guide builds one: alone, or behind the plain gateway."""

import bentoml
import numpy as np

from loadtest.systems.model import fit


@bentoml.service(workers=1)
class Scorer:
    """Scores rows of four lengths in cm."""

    def __init__(self) -> None:
        self.model = fit()

    @bentoml.api(batchable=True)
    def score(self, rows: np.ndarray) -> np.ndarray:
        """Rows (n_rows, 4) to class indices (n_rows,)."""
        return self.model.predict(rows)
