"""What the OpenAPI document says of jobs that FastAPI can't know: bodies of several kinds, and files."""

from typing import Any

from sepal.gateway.job_requests import JSON, UPLOADS
from sepal.jobs.records import Request

_EXAMPLES = {
    "files that the service can reach": {
        "value": {"input": "/data/in/flowers.csv", "output": "/data/out/scored.parquet", "proba": True}
    },
    "output to download": {"value": {"input": "s3://flowers/2026-05/*.csv.gz", "keep": ["id"]}},
}
_FILE = {"schema": {"type": "string", "format": "binary"}}
_UPLOAD = {"schema": {"type": "string", "format": "binary", "minLength": 1}}

FILE_RESPONSES: dict[str, dict[str, Any]] = {
    "output": {"description": "The file", "content": dict.fromkeys(UPLOADS, _FILE)},
    "rejected": {"description": "The file", "content": {"text/csv": _FILE}},
    "manifest": {"description": "The file", "content": {JSON: {"schema": {"type": "object"}}}},
}


def submission() -> dict[str, Any]:
    """The bodies that a job may come in, and the parameters that go with a file."""
    schema = Request.model_json_schema()
    parameters = [
        {
            "name": name,
            "in": "query",
            "description": f"{said.get('description', '')} For files that are sent.".strip(),
            "schema": {key: value for key, value in said.items() if key != "description"},
        }
        for name, said in schema["properties"].items()
        if name != "input"
    ]
    return {
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": {**schema, "required": ["input"]}, "examples": _EXAMPLES},
                **dict.fromkeys(UPLOADS, _UPLOAD),
            },
        },
    }
