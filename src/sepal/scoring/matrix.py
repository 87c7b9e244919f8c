"""Rows and answers as numpy has them; apart from the rest, which takes scikit-learn along."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float64]
"""float64, shape (n_rows, n_columns)."""
