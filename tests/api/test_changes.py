"""Each rule about what breaks clients, on the real document with one thing changed."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.api.changes import breaking_changes, may_break
from tests.api.snapshot import RELEASED

DOCUMENT = json.loads(RELEASED.read_text(encoding="utf-8"))

Edit = Callable[[Any], object]


def changed(edit: Edit) -> Any:  # noqa: ANN401
    document = deepcopy(DOCUMENT)
    edit(document)
    return document


def operation(document: Any, path: str = "/iris/predict", method: str = "post") -> Any:  # noqa: ANN401
    return document["paths"][path][method]


def schema(document: Any, name: str) -> Any:  # noqa: ANN401
    return document["components"]["schemas"][name]


def body(document: Any) -> Any:  # noqa: ANN401
    return operation(document)["requestBody"]["content"]


def width(document: Any) -> Any:  # noqa: ANN401
    return schema(document, "Iris")["properties"]["PetalWidthCm"]


def responses(document: Any) -> Any:  # noqa: ANN401
    return operation(document)["responses"]


def limit(document: Any) -> Any:  # noqa: ANN401
    return next(p for p in operation(document, "/iris/jobs", "get")["parameters"] if p["name"] == "limit")


BREAKING: dict[str, tuple[Edit, str]] = {
    "a path goes": (lambda d: d["paths"].pop("/models"), "/models: removed"),
    "a method goes": (lambda d: d["paths"]["/iris/jobs"].pop("get"), "GET /iris/jobs: removed"),
    "an operation gets another name": (
        lambda d: operation(d).update(operationId="predict_iris"),
        "operationId iris_predict became predict_iris",
    ),
    "credentials become needed": (
        lambda d: operation(d).update(security=[{"key": []}]),
        "POST /iris/predict: credentials: none is no longer enough",
    ),
    "a parameter goes": (
        lambda d: operation(d)["parameters"].clear(),
        "header parameter x-trial-key: removed",
    ),
    "a parameter becomes required": (
        lambda d: limit(d).update(required=True),
        "query parameter limit: became required",
    ),
    "a required parameter comes": (
        lambda d: limit(d).update(name="count", required=True),
        "query parameter count: new, and required",
    ),
    "a parameter takes less": (
        lambda d: limit(d)["schema"].update(maximum=50),
        "query parameter limit: maximum 100 where 50 is expected",
    ),
    "a parameter changes its type": (
        lambda d: limit(d)["schema"].update(type="string"),
        "query parameter limit: type integer where string is expected",
    ),
    "a body becomes required": (
        lambda d: operation(d, "/iris/jobs/{job_id}", "delete").update(requestBody={"required": True}),
        "DELETE /iris/jobs/{job_id}: body: became required",
    ),
    "a media type is no longer taken": (
        lambda d: body(d).update({"application/x": body(d).pop("application/json")}),
        "body: application/json is no longer taken",
    ),
    "one of a body's forms goes": (
        lambda d: body(d)["application/json"]["schema"]["oneOf"].pop(),
        "body: type array where object is expected",
    ),
    "fewer rows are taken": (
        lambda d: body(d)["application/json"]["schema"]["oneOf"][1].update(maxItems=10),
        "body: maxItems 10000 where 10 is expected",
    ),
    "a property of what is sent goes": (
        lambda d: schema(d, "RideDuration")["properties"].pop("pickup_datetime"),
        "body/pickup_datetime: removed",
    ),
    "a required property of what is sent comes": (
        lambda d: (
            schema(d, "Iris")["properties"].update(Colour={"type": "string"}),
            schema(d, "Iris")["required"].append("Colour"),
        ),
        "body/Colour: required on one side alone",
    ),
    "an optional property becomes required": (
        lambda d: schema(d, "RideDuration")["required"].append("pickup_datetime"),
        "body/pickup_datetime: required on one side alone",
    ),
    "null is no longer taken": (
        lambda d: schema(d, "RideDuration")["properties"]["pickup_datetime"]["anyOf"].pop(),
        "body/pickup_datetime: type null where string is expected",
    ),
    "a property changes its type": (
        lambda d: width(d).update(type="string"),
        "body/PetalWidthCm: type number",
    ),
    "a property is narrowed to whole numbers": (
        lambda d: width(d).update(type="integer"),
        "body/PetalWidthCm: type number where integer is expected",
    ),
    "an upper bound comes down": (
        lambda d: width(d).update(maximum=29),
        "body/PetalWidthCm: maximum 30 where 29 is expected",
    ),
    "a lower bound goes up": (
        lambda d: width(d).update(minimum=1),
        "body/PetalWidthCm: minimum 0 (itself left out) where 1 is expected",
    ),
    "a bound leaves itself out": (
        lambda d: width(d).update(exclusiveMaximum=30),
        "body/PetalWidthCm: maximum 30 where 30 (itself left out) is expected",
    ),
    "values are enumerated": (
        lambda d: width(d).update(enum=[1, 2]),
        "body/PetalWidthCm: any value where [1, 2] are expected",
    ),
    "a text gets a pattern": (
        lambda d: schema(d, "RideDuration")["properties"]["pickup_datetime"]["anyOf"][0].update(
            pattern="Z$"
        ),
        "body/pickup_datetime: pattern any where Z$ is expected",
    ),
    "a status goes": (lambda d: responses(d).pop("504"), "response 504: removed"),
    "a header goes": (
        lambda d: responses(d)["503"].pop("headers"),
        "response 503: header Retry-After removed",
    ),
    "a media type is no longer given": (
        lambda d: responses(d)["422"]["content"].update(
            {"text/html": responses(d)["422"]["content"].pop("application/problem+json")}
        ),
        "response 422: application/problem+json is no longer given",
    ),
    "an answer's property goes": (
        lambda d: (
            schema(d, "IrisPrediction")["properties"].pop("model_name"),
            schema(d, "IrisPrediction")["required"].remove("model_name"),
        ),
        "response 200/model_name: required on one side alone",
    ),
    "an answer's optional property goes": (
        lambda d: schema(d, "Problem")["properties"].pop("errors"),
        "response 422/errors: removed",
    ),
    "an answer's property may be missing": (
        lambda d: schema(d, "IrisPrediction")["required"].remove("output"),
        "response 200/output: required on one side alone",
    ),
    "an answer's property changes its type": (
        lambda d: schema(d, "RideDurationPrediction")["properties"]["output"].update(type="string"),
        "response 200/output: type string where number is expected",
    ),
    "an answer may be null": (
        lambda d: schema(d, "RideDurationPrediction")["properties"].update(
            output={"anyOf": [{"type": "number"}, {"type": "null"}]}
        ),
        "response 200/output: type null where number is expected",
    ),
    "an answer has another label": (
        lambda d: schema(d, "IrisPrediction")["properties"]["output"]["enum"].append("tulip"),
        "response 200/output: ['tulip'] not among",
    ),
    "an answer is any text": (
        lambda d: schema(d, "IrisPrediction")["properties"]["output"].pop("enum"),
        "response 200/output: any value where",
    ),
    "an answer's values have another type": (
        lambda d: schema(d, "IrisProbabilities")["properties"]["probabilities"].update(
            additionalProperties={"type": "string"}
        ),
        "response 200/probabilities/*: type string where number is expected",
    ),
    "an answer's names are any": (
        lambda d: schema(d, "IrisProbabilities")["properties"]["probabilities"].pop("propertyNames"),
        "response 200/probabilities/*: any value where",
    ),
}

COMPATIBLE: dict[str, Edit] = {
    "nothing": lambda d: None,
    "a path comes": lambda d: d["paths"].update({"/new": d["paths"]["/models"]}),
    "a method comes": lambda d: d["paths"]["/models"].update(post=operation(d)),
    "an optional parameter comes": lambda d: operation(d)["parameters"].append(
        {"name": "X-New", "in": "header", "schema": {"type": "string"}}
    ),
    "a parameter takes more": lambda d: limit(d)["schema"].update(maximum=1000),
    "a parameter's name is written otherwise": lambda d: operation(d)["parameters"][0].update(
        name="x-trial-KEY"
    ),
    "a body may come in another media type": lambda d: body(d).update({"text/csv": {"schema": {}}}),
    "an optional property of what is sent comes": lambda d: schema(d, "Iris")["properties"].update(
        Colour={"type": "string"}
    ),
    "a required property becomes optional": lambda d: schema(d, "Iris")["required"].remove("PetalWidthCm"),
    "bounds widen": lambda d: width(d).update(exclusiveMinimum=-1, maximum=31),
    "a whole number may be any": lambda d: schema(d, "RideDuration")["properties"]["PULocationID"].update(
        type="number"
    ),
    "a status comes": lambda d: responses(d).update({"429": responses(d)["422"]}),
    "an answer's property comes": lambda d: schema(d, "IrisPrediction")["properties"].update(
        explanation={"type": "object"}
    ),
    "an optional property is always there": lambda d: schema(d, "Problem")["required"].append("type"),
    "an answer has fewer labels": lambda d: schema(d, "IrisPrediction")["properties"]["output"][
        "enum"
    ].pop(),
    "other words": lambda d: (
        operation(d).update(summary="…", description="…"),
        width(d).update(title="…", examples=[1]),
    ),
    "a schema gets another name": lambda d: (
        d["components"]["schemas"].update(Flower=d["components"]["schemas"]["Iris"]),
        body(d)["application/json"]["schema"]["oneOf"][0].update({"$ref": "#/components/schemas/Flower"}),
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_clients_is_told(name: str) -> None:
    edit, told = BREAKING[name]
    changes = breaking_changes(DOCUMENT, changed(edit))
    assert any(told in change for change in changes), changes


@pytest.mark.parametrize("name", COMPATIBLE)
def test_what_breaks_none_is_let_pass(name: str) -> None:
    assert breaking_changes(DOCUMENT, changed(COMPATIBLE[name])) == []


def test_a_change_is_told_with_its_operation() -> None:
    edit, _ = BREAKING["an answer has another label"]
    assert breaking_changes(DOCUMENT, changed(edit)) == [
        f"POST /iris/predict: response 200{form}/output: ['tulip'] not among "
        "['Iris-setosa', 'Iris-versicolor', 'Iris-virginica']"
        for form in ("", "[]")
    ]


def test_that_properties_are_refused_which_were_taken_is_told() -> None:
    before = changed(lambda d: schema(d, "Iris").pop("additionalProperties"))
    assert "POST /iris/predict: body: other properties are refused" in breaking_changes(before, DOCUMENT)


def test_a_schema_that_holds_itself_is_compared_to_its_end() -> None:
    def nested(document: Any) -> None:  # noqa: ANN401
        schema(document, "Problem")["properties"]["errors"] = {"$ref": "#/components/schemas/Problem"}

    document = changed(nested)
    assert breaking_changes(document, deepcopy(document)) == []


@pytest.mark.parametrize(
    ("released", "version", "may"),
    [
        ("0.1.0", "0.1.9", False),
        ("0.1.0", "0.2.0", True),
        ("0.9.0", "1.0.0", True),
        ("1.2.0", "1.3.0", False),
        ("1.2.0", "2.0.0", True),
        ("1.2.0", "0.9.0", False),
    ],
)
def test_only_a_higher_first_number_may_break(released: str, version: str, may: bool) -> None:
    assert may_break(released, version) is may
