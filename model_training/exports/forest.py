"""Forests as ONNX graphs in double precision.

skl2onnx converts them to operators whose answers are float32. TreeEnsemble, of release 5 of
ONNX's operators for machine learning, adds up in double; the trees' input is rounded to
float32 first, as scikit-learn's trees do.
https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from sepal.extras import need
from sepal.scoring.matrix import Matrix

OPSET, ML_OPSET, IR_VERSION = 21, 5, 10

_FORESTS = (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)
_LESS_OR_EQUAL, _SUM, _AS_IS = 0, 1, 0


def is_forest(estimator: object) -> bool:
    """Whether it is a forest of one output."""
    return type(estimator) in _FORESTS and getattr(estimator, "n_outputs_", 0) == 1


@dataclass
class _Ensemble:
    """The attributes of a TreeEnsemble, tree after tree."""

    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    true_ids: list[int] = field(default_factory=list)
    true_leaves: list[int] = field(default_factory=list)
    false_ids: list[int] = field(default_factory=list)
    false_leaves: list[int] = field(default_factory=list)
    missing_is_true: list[int] = field(default_factory=list)
    leaf_targets: list[int] = field(default_factory=list)
    leaf_weights: list[float] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def add(self, tree: Any, target: int, weights: Matrix) -> None:  # noqa: ANN401 (scikit-learn's Tree)
        """A tree whose leaves add `weights`, (n_nodes,), to one output."""
        is_leaf = tree.children_left < 0
        ids = np.empty(tree.node_count, dtype=np.int64)
        ids[is_leaf] = len(self.leaf_targets) + np.arange(int(is_leaf.sum()))
        ids[~is_leaf] = len(self.features) + np.arange(int((~is_leaf).sum()))
        self.roots.append(len(self.features))
        if is_leaf[0]:  # a tree that is a leaf: a split whose both ways lead to it
            self._split(0, 0.0, (int(ids[0]), 1), (int(ids[0]), 1), 1)
        for node in np.flatnonzero(~is_leaf):
            left, right = tree.children_left[node], tree.children_right[node]
            self._split(
                int(tree.feature[node]),
                float(tree.threshold[node]),
                (int(ids[left]), int(is_leaf[left])),
                (int(ids[right]), int(is_leaf[right])),
                int(tree.missing_go_to_left[node]),
            )
        self.leaf_targets += [target] * int(is_leaf.sum())
        self.leaf_weights += weights[is_leaf].tolist()

    def _split(
        self, feature: int, split: float, true: tuple[int, int], false: tuple[int, int], missing: int
    ) -> None:
        self.features.append(feature)
        self.splits.append(split)
        self.true_ids.append(true[0])
        self.true_leaves.append(true[1])
        self.false_ids.append(false[0])
        self.false_leaves.append(false[1])
        self.missing_is_true.append(missing)

    def node(self, onnx: Any, taken: str, given: str, n_targets: int) -> Any:  # noqa: ANN401 (ONNX's)
        """The operator."""
        tensor = onnx.numpy_helper.from_array
        return onnx.helper.make_node(
            "TreeEnsemble",
            [taken],
            [given],
            domain="ai.onnx.ml",
            n_targets=n_targets,
            nodes_featureids=self.features,
            nodes_splits=tensor(np.array(self.splits)),
            nodes_modes=tensor(np.full(len(self.features), _LESS_OR_EQUAL, dtype=np.uint8)),
            nodes_truenodeids=self.true_ids,
            nodes_trueleafs=self.true_leaves,
            nodes_falsenodeids=self.false_ids,
            nodes_falseleafs=self.false_leaves,
            nodes_missing_value_tracks_true=self.missing_is_true,
            leaf_targetids=self.leaf_targets,
            leaf_weights=tensor(np.array(self.leaf_weights)),
            tree_roots=self.roots,
            aggregate_function=_SUM,
            post_transform=_AS_IS,
        )


def forest_nodes(forest: Any, taken: str) -> tuple[Sequence[Any], Sequence[Any], Sequence[Any]]:  # noqa: ANN401
    """Nodes, initial values and outputs for a fitted forest that takes a double matrix of that name."""
    onnx = need("onnx", "onnx")
    node, types = onnx.helper.make_node, onnx.TensorProto
    n_targets = len(forest.classes_) if hasattr(forest, "classes_") else 1
    ensemble = _Ensemble()
    for estimator in forest.estimators_:
        for target in range(n_targets):
            ensemble.add(estimator.tree_, target, estimator.tree_.value[:, 0, target])
    answer = "probabilities" if n_targets > 1 else "quantity"
    nodes = [
        node("Cast", [taken], ["single"], to=types.FLOAT),
        node("Cast", ["single"], ["rounded"], to=types.DOUBLE),
        ensemble.node(onnx, "rounded", "sums", n_targets),
        node("Div", ["sums", "n_trees"], [answer]),
    ]
    values = [onnx.numpy_helper.from_array(np.array([float(len(forest.estimators_))]), "n_trees")]
    outputs = [onnx.helper.make_tensor_value_info(answer, types.DOUBLE, [None, n_targets])]
    if n_targets > 1:
        labels = [str(label).encode() for label in forest.classes_]
        values.append(onnx.helper.make_tensor("labels", types.STRING, [n_targets], labels))
        nodes += [
            node("ArgMax", [answer], ["best"], axis=1, keepdims=0),
            node("Gather", ["labels", "best"], ["label"]),
        ]
        outputs.insert(0, onnx.helper.make_tensor_value_info("label", types.STRING, [None]))
    return nodes, values, outputs


def operator_sets(graph: Any | None) -> Iterator[Any]:  # noqa: ANN401 (ONNX's)
    """The operator sets that a forest's nodes need, and those of the graph that comes before them."""
    make = need("onnx", "onnx").helper.make_opsetid
    before = {} if graph is None else {one.domain: one.version for one in graph.opset_import}
    for domain, release in {**before, "": max(OPSET, before.get("", 0)), "ai.onnx.ml": ML_OPSET}.items():
        yield make(domain, release)
