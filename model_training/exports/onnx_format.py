"""A version as an ONNX graph in double precision, and how the graph answers."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline, make_pipeline

from model_training.exports.forest import (
    IR_VERSION,
    ML_OPSET,
    OPSET,
    forest_nodes,
    is_forest,
    operator_sets,
)
from model_training.exports.parity import Answers
from model_training.tables import Floats
from sepal.contracts import Contract, Labels
from sepal.errors import ArtefactError
from sepal.extras import need
from sepal.registry.versions import Version
from sepal.scoring.adapters import NamedRegressor

INPUT = "rows"
_ML_OPSET_OF_SKL2ONNX = 3


def dumps(version: Version, contract: Contract, pipeline: Any) -> bytes:  # noqa: ANN401 (any scikit-learn estimator)
    """The graph: it takes the contract's matrix as `rows`, double, (n_rows, n_features).

    It gives `label` and `probabilities`, or the quantity. ArtefactError if a step of the
    pipeline can't be converted.
    """
    onnx = need("onnx", "onnx")
    need("skl2onnx", "onnx")
    if isinstance(pipeline, NamedRegressor):
        raise ArtefactError(
            f"{version.tag} takes columns by name, which Sepal's adapter makes from the matrix: ONNX "
            "has no such step. Export it as pickle or skops."
        )
    try:
        graph = _converted(pipeline, len(contract.columns), isinstance(contract.target, Labels))
    except Exception as error:
        raise ArtefactError(
            f"{version.tag} can't be converted to ONNX: {_said(error)} Export it as pickle or skops."
        ) from error
    onnx.helper.set_model_props(graph, _properties(version, contract))
    content: bytes = graph.SerializeToString()
    return content


def _said(error: Exception) -> str:
    return " ".join(str(error).split("Current pipeline")[0].split())[:300].rstrip(". ") + "."


def _properties(version: Version, contract: Contract) -> Mapping[str, str]:
    return {
        "sepal_version": version.tag,
        "sepal_contract": contract.signature,
        "sepal_features": ",".join(column.name for column in contract.columns),
        "artefact_sha256": version.artefact_sha256,
    }


def _converted(pipeline: Any, n_features: int, labels: bool) -> Any:  # noqa: ANN401 (ONNX's ModelProto)
    last = pipeline.steps[-1][1] if isinstance(pipeline, Pipeline) else pipeline
    if not is_forest(last):
        return _by_skl2onnx(pipeline, n_features, zipmap=labels)
    onnx = need("onnx", "onnx")
    before = None
    if isinstance(pipeline, Pipeline) and len(pipeline.steps) > 1:
        before = _by_skl2onnx(make_pipeline(*(step for _, step in pipeline.steps[:-1])), n_features)
    nodes, values, outputs = forest_nodes(last, before.graph.output[0].name if before else INPUT)
    taken = onnx.helper.make_tensor_value_info(INPUT, onnx.TensorProto.DOUBLE, [None, n_features])
    graph = onnx.helper.make_graph(
        [*(before.graph.node if before else ()), *nodes],
        "pipeline",
        [taken],
        outputs,
        [*(before.graph.initializer if before else ()), *values],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=list(operator_sets(before)), ir_version=IR_VERSION, producer_name="sepal"
    )
    onnx.checker.check_model(model)
    return model


def _by_skl2onnx(pipeline: Any, n_features: int, *, zipmap: bool = False) -> Any:  # noqa: ANN401 (ONNX's ModelProto)
    skl2onnx = need("skl2onnx", "onnx")
    double = need("skl2onnx.common.data_types", "onnx").DoubleTensorType
    return skl2onnx.convert_sklearn(
        pipeline,
        initial_types=[(INPUT, double([None, n_features]))],
        options={"zipmap": False} if zipmap else None,  # a matrix of probabilities, no list of dicts
        target_opset={"": OPSET, "ai.onnx.ml": min(ML_OPSET, _ML_OPSET_OF_SKL2ONNX)},
    )


def answers_of(content: bytes, contract: Contract, tag: str = "The graph") -> Callable[[Floats], Answers]:
    """What a graph answers, by onnxruntime; ArtefactError if that refuses it."""
    runtime = need("onnxruntime", "onnx")
    try:
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ArtefactError(
            f"{tag} as onnx is refused by onnxruntime: {_said(error)} Export it as pickle or skops."
        ) from error

    def answers(rows: Floats) -> Answers:
        given = session.run(None, {INPUT: np.ascontiguousarray(rows)})
        if isinstance(contract.target, Labels):
            return Answers(np.asarray(given[1], dtype=np.float64), np.asarray(given[0]).astype(str))
        return Answers(np.asarray(given[0], dtype=np.float64).reshape(len(rows)))

    return answers
