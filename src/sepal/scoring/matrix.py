"""Rows and answers as numpy has them; apart from the rest, which takes scikit-learn along."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sepal.contracts import Contract

Matrix: TypeAlias = NDArray[np.float64]
"""float64, shape (n_rows, n_columns)."""


def example_rows(contract: Contract) -> Matrix:
    """The contract's example as a matrix of one row."""
    row = contract.features.model_validate(contract.example)
    return np.frombuffer(contract.encode([row])).reshape(1, -1)
