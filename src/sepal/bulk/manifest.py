"""The manifest of an output: what was read, by which version it was scored, and what came of it."""

import importlib.metadata
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sepal.bulk.answers import Model
from sepal.bulk.formats import public
from sepal.bulk.plan import Plan
from sepal.bulk.totals import Totals

_LIBRARIES = ("sepal", "numpy", "polars", "pyarrow", "scikit-learn")


def manifest(
    plan: Plan,
    model: Model,
    totals: Totals,
    digests: Mapping[int, str],
    *,
    seconds: float,
    resumed: int = 0,
    **engine: str,
) -> dict[str, Any]:
    """All that is to be told of a run; `digests` are those of its files' contents, by their places."""
    version = model.version
    return {
        "model": version.model,
        "version": version.name,
        "artefact_sha256": version.artefact_sha256,
        "contract_signature": version.contract_signature,
        "job": {
            **plan.job.model_dump(),
            "input": public(plan.job.input),
            "output": public(plan.job.output),
        },
        "input": [{**file.identity, "digest": digests.get(at)} for at, file in enumerate(plan.files)],
        **totals.describe(),
        "resumed_rows": resumed,
        "seconds": round(seconds, 3),
        "rows_per_second": round((totals.rows - resumed) / max(seconds, 1e-9)),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **(engine or {"engine": "local"}),
        "libraries": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _LIBRARIES},
        },
    }
