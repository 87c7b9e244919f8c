"""Hypothesis strategies made from contracts: any row that a contract accepts."""

import math
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from sepal.contracts import Contract, Feature, Features

_EPOCH = datetime(1970, 1, 1)


def rows_of(contract: Contract) -> st.SearchStrategy[Features]:
    """Any row of a contract."""
    return documents_of(contract).map(contract.features.model_validate)


def documents_of(contract: Contract) -> st.SearchStrategy[dict[str, Any]]:
    """Any row of a contract as JSON, optional features left out at times."""
    required = {c.name: values_of(c) for c in contract.columns if not c.optional}
    optional = {c.name: st.none() | values_of(c) for c in contract.columns if c.optional}
    return st.fixed_dictionaries(required, optional=optional)


def values_of(column: Feature) -> st.SearchStrategy[Any]:
    """Any value of a feature, as JSON has it."""
    low, high = column.range
    if column.kind == "category":
        return st.sampled_from(column.categories)
    if column.kind == "boolean":
        return st.booleans()
    if column.kind == "integer":
        assert low is not None
        assert high is not None
        return st.integers(
            math.floor(low) + (column.at_least is None), math.ceil(high) - (column.at_most is None)
        )
    if column.kind == "time":
        assert low is not None
        assert high is not None
        latest = _EPOCH + timedelta(seconds=high) - timedelta(microseconds=column.at_most is None)
        return st.datetimes(_EPOCH + timedelta(seconds=low), latest).map(datetime.isoformat)
    return st.floats(
        low,
        high,
        exclude_min=column.greater_than is not None,
        exclude_max=column.less_than is not None,
        allow_nan=False,
        allow_infinity=False,
    )
