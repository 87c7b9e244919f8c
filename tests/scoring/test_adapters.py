"""Adapters: the wire's matrix as columns with names, texts and times, for pipelines that want these."""

import pickle
from datetime import datetime
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from sepal.contracts import Contract, Features, Integer, Quantity, WallClock, feature
from sepal.scoring.adapters import Column, NamedClassifier, NamedRegressor, Source


class Delivery(Features):
    """A feature of each kind."""

    depot: Literal["north", "south"] = feature(example="north", description="Depot.")
    stops: Annotated[Integer, Field(ge=0, le=100)] = feature(example=3, description="Stops.")
    weight: Annotated[float, Field(ge=0, le=9)] | None = feature(
        example=1.5, description="Weight.", optional=True
    )
    fragile: bool = feature(example=True, description="Fragile.")
    left: Annotated[WallClock, Field(ge=datetime(2009, 1, 1), lt=datetime(2100, 1, 1))] | None = feature(
        example="2019-01-15T08:30:00", description="When it left.", optional=True
    )


CONTRACT = Contract(name="delivery", features=Delivery, target=Quantity("minutes", "minutes", 5.0))
ROWS = np.frombuffer(
    CONTRACT.encode(
        [
            Delivery(
                depot="south", stops=3, weight=1.5, fragile=True, left=datetime(2019, 1, 15, 8, 30, 0, 5)
            ),
            Delivery(depot="north", stops=10, fragile=False),
        ]
    )
).reshape(2, -1)
SOURCES = {feature.name: Source.of(at, feature) for at, feature in enumerate(CONTRACT.columns)}
COLUMNS = (
    Column("depot", "text", (SOURCES["depot"],)),
    Column("stops", "integer", (SOURCES["stops"],)),
    Column("weight", "number", (SOURCES["weight"],)),
    Column("fragile", "boolean", (SOURCES["fragile"],)),
    Column("left", "time", (SOURCES["left"],)),
    Column("depot_stops", "text", (SOURCES["depot"], "_", SOURCES["stops"])),
    Column("hour", "text", (Source.of(4, CONTRACT.columns[4], "%H"),)),
)


def test_records_have_pythons_own_values_and_none_where_there_is_none() -> None:
    assert NamedRegressor(None, COLUMNS, "records").decode(ROWS) == [
        {
            "depot": "south",
            "stops": 3,
            "weight": 1.5,
            "fragile": True,
            "left": datetime(2019, 1, 15, 8, 30, 0, 5),
            "depot_stops": "south_3",
            "hour": "08",
        },
        {
            "depot": "north",
            "stops": 10,
            "weight": None,
            "fragile": False,
            "left": None,
            "depot_stops": "north_10",
            "hour": None,
        },
    ]


def test_a_frame_has_pandas_types_which_do_not_depend_on_the_other_rows() -> None:
    pytest.importorskip("pandas")
    frame = NamedRegressor(None, COLUMNS, "frame").decode(ROWS)
    assert list(frame.columns) == [column.name for column in COLUMNS]
    types = {name: str(frame[name].dtype) for name in ("stops", "weight", "fragile", "left")}
    assert types == {
        "stops": "int64",
        "weight": "float64",
        "fragile": "bool",
        "left": "datetime64[us]",
    }
    assert frame["left"].isna().tolist() == [False, True]
    assert frame["depot_stops"].tolist() == ["south_3", "north_10"]
    for row in range(2):
        alone = NamedRegressor(None, COLUMNS, "frame").decode(ROWS[row : row + 1])
        for name in types:
            assert alone[name].dtype == frame[name].dtype


def test_a_matrix_has_the_columns_in_the_pipelines_order() -> None:
    columns = (COLUMNS[2], COLUMNS[1])
    decoded = NamedRegressor(None, columns, "matrix").decode(ROWS)
    assert np.array_equal(decoded, [[1.5, 3.0], [np.nan, 10.0]], equal_nan=True)


def test_an_adapter_answers_as_its_pipeline_and_survives_a_pickle() -> None:
    columns = COLUMNS[:2]
    records = NamedRegressor(None, columns, "records").decode(ROWS)
    pipeline = make_pipeline(DictVectorizer(), Ridge()).fit(records, [1.0, 2.0])
    adapter = pickle.loads(pickle.dumps(NamedRegressor(pipeline, columns, "records")))  # noqa: S301
    assert (adapter.predict(ROWS) == pipeline.predict(records)).all()


def test_labels_of_other_names_and_in_another_order_are_the_contracts() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 1))
    pipeline = LogisticRegression().fit(rows, np.arange(60) % 3)
    column = Column("x", "number", (Source(0, "number"),))
    adapter = NamedClassifier(pipeline, (column,), "matrix", ("rose", "aster", "lily"))
    assert adapter.classes_.tolist() == ["aster", "lily", "rose"]
    expected = np.array(["rose", "aster", "lily"])[pipeline.predict(rows)]
    assert (adapter.predict(rows) == expected).all()
    assert (adapter.predict_proba(rows) == pipeline.predict_proba(rows)[:, [1, 2, 0]]).all()


def test_without_pandas_a_frame_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from sepal.errors import ArtefactError

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ArtefactError, match="pip install pandas"):
        NamedRegressor(None, COLUMNS, "frame").decode(ROWS)
