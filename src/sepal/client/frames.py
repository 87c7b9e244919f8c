"""Frames of pandas and polars: their rows, and the frames of the answers.

Neither library is imported but by a caller who has given one of its frames, and so has it.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from typing_extensions import TypeIs

from sepal.client.answers import Prediction
from sepal.contracts import Contract

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    Frame: TypeAlias = pd.DataFrame | pl.DataFrame


def is_pandas(given: object) -> "TypeIs[pd.DataFrame]":
    """Whether it is a DataFrame of pandas."""
    return (pandas := sys.modules.get("pandas")) is not None and isinstance(given, pandas.DataFrame)


def is_polars(given: object) -> "TypeIs[pl.DataFrame]":
    """Whether it is a DataFrame of polars."""
    return (polars := sys.modules.get("polars")) is not None and isinstance(given, polars.DataFrame)


def rows_of(frame: "Frame", contract: Contract | None) -> list[dict[str, Any]]:
    """A dictionary a row; a missing value, NaN included, is None.

    With a contract its columns alone, by whichever names; DataError if one is missing.
    """
    names = [str(name) for name in frame.columns]
    if contract is not None:
        matched = contract.match_columns(names)
        columns = [names.index(found) for found in matched.values()]
        names = list(matched)
    else:
        columns = list(range(len(names)))
    if is_pandas(frame):
        values = [_values(frame.iloc[:, column]) for column in columns]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    chosen = frame[:, columns].fill_nan(None)
    return [dict(zip(names, row, strict=True)) for row in chosen.rows()]


def _values(column: "pd.Series[Any]") -> list[Any]:
    """A pandas column as Python's own values."""
    values = column.tolist()
    for at in column.isna().to_numpy().nonzero()[0]:
        values[at] = None
    return values


def frame_of(answers: Sequence[Prediction], like: "Frame") -> "Frame":
    """Answers as a frame of the same library, with the index of the rows if they have one.

    Its columns are those that `sepal score` writes.
    """
    columns = _columns(answers)
    if is_pandas(like):
        import pandas as pd

        return pd.DataFrame(columns, index=like.index)
    import polars as pl

    return pl.DataFrame(columns)


def _columns(answers: Sequence[Prediction]) -> Mapping[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "prediction": [answer.output for answer in answers],
        "model_version": [answer.model_name for answer in answers],
    }
    labels = (answers[0].probabilities or {}) if answers else {}
    for label in labels:
        columns[f"probability_{label}"] = [(answer.probabilities or {})[label] for answer in answers]
    return columns
