"""The Open Inference Protocol over HTTP: tensors in, tensors out, in JSON and in binary."""

import asyncio
import json
import struct
from array import array
from typing import Any

import aiohttp
import pytest

from sepal.contracts import Contract, Features, Labels, feature, wire
from sepal.contracts.columns import ColumnEncoder
from sepal.errors import WrongValuesError
from sepal.gateway.protocols.open_inference.documents import InputTensor
from sepal.gateway.protocols.open_inference.inputs import read_columns
from tests.gateway.conftest import FakeModelServer, gateway, settings_for

ROWS = [[5.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [3.5, 0.1, 30.0, 9.0]]
NAMES = ("SepalLengthCm", "SepalWidthCm", "PetalLengthCm", "PetalWidthCm")
SPECIES = ["Iris-virginica", "Iris-versicolor", "Iris-setosa"]
CODES = {"FP64": "d", "FP32": "f", "INT64": "q", "INT32": "i", "UINT8": "B", "INT16": "h"}

RIDES = [
    {"name": "PULocationID", "shape": [2], "datatype": "INT64", "data": [10, 11]},
    {"name": "DOLocationID", "shape": [2, 1], "datatype": "INT32", "data": [[50], [51]]},
    {"name": "trip_distance", "shape": [2], "datatype": "FP32", "data": [40, 0.5]},
]

Answer = tuple[int, Any, Any]


def matrix(data: Any = None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    tensor = {"name": "input-0", "shape": [3, 4], "datatype": "FP64", "data": data or ROWS}
    return {"inputs": [{**tensor, **changes}]}


async def infer(
    client: aiohttp.ClientSession,
    body: dict[str, Any],
    binary: bytes | None = None,
    model: str = "iris",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Status, JSON and headers; a binary answer's outputs are unpacked into its JSON."""
    text = json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    if binary is not None:
        sent |= {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(text)),
        }
    async with client.post(
        f"/v2/models/{model}/infer", data=text + (binary or b""), headers=sent
    ) as response:
        content = await response.read()
        assert response.headers["X-Request-ID"]
        if (length := response.headers.get("Inference-Header-Content-Length")) is None:
            assert response.content_type == "application/json"
            return response.status, json.loads(content), response.headers
        assert response.content_type == "application/octet-stream"
        document, rest = json.loads(content[: int(length)]), content[int(length) :]
        for output in document["outputs"]:
            if "data" not in output:
                size = output["parameters"]["binary_data_size"]
                output["data"], rest = unpacked(output["datatype"], rest[:size]), rest[size:]
        assert not rest
        return response.status, document, response.headers


def unpacked(datatype: str, raw: bytes) -> list[Any]:
    if datatype != "BYTES":
        return list(array(CODES[datatype], raw))
    found = []
    while raw:
        (size,) = struct.unpack("<I", raw[:4])
        found.append(raw[4 : 4 + size].decode())
        raw = raw[4 + size :]
    return found


def packed(texts: list[str]) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def output(answer: Answer, name: str) -> Any:  # noqa: ANN401
    assert answer[0] == 200, answer[1]
    return next(one["data"] for one in answer[1]["outputs"] if one["name"] == name)


async def refused(client: aiohttp.ClientSession, status: int, *said: str, **call: Any) -> None:  # noqa: ANN401
    found, body, headers = await infer(client, **call)
    assert found == status, body
    assert list(body) == ["error"]
    assert headers.get("Content-Type") == "application/json"
    assert all(words in body["error"] for words in said), body


async def test_one_tensor_of_rows_gets_every_output(client: aiohttp.ClientSession) -> None:
    status, body, _ = await infer(client, {"id": "42", **matrix()})
    assert status == 200
    assert body == {
        "model_name": "iris",
        "model_version": "fake_7",
        "id": "42",
        "outputs": [
            {"name": "output", "shape": [3], "datatype": "BYTES", "data": SPECIES},
            {
                "name": "probabilities",
                "shape": [3, 3],
                "datatype": "FP64",
                "data": [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0],
            },
            {"name": "model_version", "shape": [3], "datatype": "BYTES", "data": ["fake_7"] * 3},
        ],
    }


async def test_flat_data_are_read_row_after_row(client: aiohttp.ClientSession) -> None:
    assert output(await infer(client, matrix(sum(ROWS, []))), "output") == SPECIES  # noqa: RUF017


@pytest.mark.parametrize("datatype", CODES)
async def test_binary_tensors_of_every_number_are_read_and_given(
    client: aiohttp.ClientSession, datatype: str
) -> None:
    whole = [[5, 2, 3, 4], [1, 2, 3, 4], [3, 1, 30, 9]]
    raw = array(CODES[datatype], sum(whole, [])).tobytes()  # noqa: RUF017
    body = matrix(datatype=datatype, parameters={"binary_data_size": len(raw)})
    del body["inputs"][0]["data"]
    answer = await infer(client, {**body, "parameters": {"binary_data_output": True}}, raw)
    assert output(answer, "output") == SPECIES
    assert output(answer, "probabilities") == [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    assert output(answer, "model_version") == ["fake_7"] * 3


async def test_half_floats_come_in_binary(client: aiohttp.ClientSession) -> None:
    raw = struct.pack("<4e", 5, 2, 3, 4)
    tensor = {
        "name": "x",
        "shape": [1, 4],
        "datatype": "FP16",
        "parameters": {"binary_data_size": len(raw)},
    }
    assert output(await infer(client, {"inputs": [tensor]}, raw), "output") == SPECIES[:1]
    tensor["parameters"] = {"binary_data_size": 7}
    await refused(client, 400, "cut off", body={"inputs": [tensor]}, binary=raw[:7])


async def test_features_come_as_a_tensor_each_under_any_of_their_names(
    client: aiohttp.ClientSession,
) -> None:
    tensors = [
        {"name": name, "shape": [3], "datatype": "FP64", "data": [row[at] for row in ROWS]}
        for at, name in enumerate(NAMES)
    ]
    tensors[2]["name"] = "petal length (cm)"
    assert output(await infer(client, {"inputs": tensors[::-1]}), "output") == SPECIES


async def test_rides_have_tensors_of_several_kinds(client: aiohttp.ClientSession) -> None:
    answer = await infer(client, {"inputs": RIDES}, model="ride_duration")
    assert output(answer, "output") == [5.0, 5.5]
    assert [one["name"] for one in answer[1]["outputs"]] == ["output", "model_version"]


async def test_a_missing_time_is_an_empty_text_in_json_and_in_binary(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    sent: list[bytes] = []

    async def keep(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        sent.append(await request.read())
        return model_server.answer("ride_duration", sent[-1])

    model_server.respond = keep
    times = ["2019-01-15T08:30:00", ""]
    tensor = {"name": "pickup_datetime", "shape": [2], "datatype": "BYTES"}
    await infer(client, {"inputs": [*RIDES, {**tensor, "data": times}]}, model="ride_duration")
    raw = packed(times)
    tensor["parameters"] = {"binary_data_size": len(raw)}
    await infer(client, {"inputs": [*RIDES, tensor]}, raw, model="ride_duration")
    assert sent[0] == sent[1]
    numbers = wire.unpack(sent[0])
    assert numbers[3] == 1547541000
    assert numbers[7] != numbers[7]


async def test_a_matrix_may_leave_out_optional_features_or_say_nan(client: aiohttp.ClientSession) -> None:
    for shape, data in (([2, 3], [10, 50, 40, 11, 51, 5]), ([1, 4], [10, 50, 40, float("nan")])):
        tensor = {"name": "x", "shape": shape, "datatype": "FP64", "data": data}
        answer = await infer(client, {"inputs": [tensor]}, model="ride_duration")
        assert output(answer, "output")[0] == 5.0


async def test_only_the_outputs_that_are_asked_for_are_given(client: aiohttp.ClientSession) -> None:
    asked = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "output"}]
    answer = await infer(client, {**matrix(), "outputs": asked})
    assert [one["name"] for one in answer[1]["outputs"]] == ["probabilities", "output"]
    assert answer[1]["outputs"][0]["parameters"] == {"binary_data_size": 72}
    assert "parameters" not in answer[1]["outputs"][1]
    assert output(answer, "output") == SPECIES


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shape": [4, 3], "data": [1.0] * 12}, "[4, 3] should be [rows, 4]"),
        ({"shape": [12], "data": [1.0] * 12}, "should be [rows, 4]"),
        ({"shape": [4, 3]}, "its data are not nested as the shape [4, 3] is"),
        ({"shape": [2, 4]}, "12 values do not fill the shape [2, 4]"),
        ({"data": [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11, 12]]}, "nested"),
        ({"data": [1, [2, 3, 4]]}, "not all FP64"),
        ({"data": [True] * 12}, "not all FP64"),
        ({"data": ["1"] * 12}, "not all FP64"),
        ({"data": [None] * 12}, "not all FP64"),
        ({"datatype": "INT64"}, "not all INT64"),
        ({"datatype": "BOOL"}, "not all BOOL"),
        ({"datatype": "FP8"}, "inputs.0.datatype"),
        ({"shape": [-1, 4]}, "inputs.0.shape.0"),
        ({"shape": [0, 4], "data": []}, "no rows"),
        ({"data": None}, "no data"),
        ({"parameters": {"binary_data_size": 8}}, "no binary data of 8 bytes"),
        ({"datatype": "BYTES", "data": ["1"] * 12}, "Input should be a valid number"),
        ({"data": [[5, 2, 3, -1]] * 3}, "3 wrong values: 0/PetalWidthCm: Input should be greater than 0"),
        ({"data": [[5, 2, 3, float("inf")]] * 3}, "finite"),
        ({"name": "SepalLengthCm", "shape": [3, 4]}, "should be [rows] or [rows, 1]"),
        ({"name": "SepalLengthCm", "shape": [3], "data": [1, 2, 3]}, "Missing for iris: SepalWidthCm"),
    ],
)
async def test_an_input_that_does_not_fit_is_400_and_nothing_is_sent_upstream(
    client: aiohttp.ClientSession, model_server: FakeModelServer, change: dict[str, Any], said: str
) -> None:
    body = matrix()
    body["inputs"][0].update(change)
    await refused(client, 400, said, body=body)
    assert model_server.calls == 0


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "Missing for ride_duration"),
        ([*RIDES, {**RIDES[0], "name": "passengers"}], "It takes PULocationID"),
        ([*RIDES, {**RIDES[0], "name": "pickup_location_id"}], "comes twice"),
        ([*RIDES[:2], {**RIDES[2], "shape": [1], "data": [3]}], "1 rows, where others have 2"),
        ([{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}], "[rows, 3 or 4]"),
    ],
)
async def test_features_that_do_not_go_together_are_400(
    client: aiohttp.ClientSession, inputs: list[dict[str, Any]], said: str
) -> None:
    await refused(client, 400, said, body={"inputs": inputs}, model="ride_duration")


@pytest.mark.parametrize(
    ("datatype", "raw", "said"),
    [
        ("FP64", b"1234567", "cut off"),
        ("BOOL", b"\x00\x02", "not all BOOL"),
        ("BYTES", b"\x05\x00\x00\x00abc", "cut off"),
        ("BYTES", b"\x01", "cut off"),
        ("BYTES", b"\x01\x00\x00\x00\xff", "not UTF-8"),
        ("BOOL", b"\x00\x01", "Input should be a valid number"),
    ],
)
async def test_binary_data_that_are_broken_are_400(
    client: aiohttp.ClientSession, datatype: str, raw: bytes, said: str
) -> None:
    tensor = {
        "name": "trip_distance",
        "shape": [2],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(raw)},
    }
    body = {"inputs": [*RIDES[:2], tensor]}
    await refused(client, 400, said, body=body, binary=raw, model="ride_duration")


async def test_bytes_that_belong_to_no_tensor_are_400(client: aiohttp.ClientSession) -> None:
    await refused(client, 400, "5 bytes follow", body=matrix(), binary=b"extra")


@pytest.mark.parametrize("length", ["-1", "x", "100000"])
async def test_a_length_that_is_not_that_of_the_json_is_400(
    client: aiohttp.ClientSession, length: str
) -> None:
    headers = {"Inference-Header-Content-Length": length}
    await refused(client, 400, f"{length} is not the length", body=matrix(), headers=headers)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "predict"}, "There are: output, probabilities, model_version"),
        ({"name": "output", "parameters": {"classification": 2}}, "classification is not supported"),
        ({"name": "output", "parameters": {"shared_memory_region": "a"}}, "shared_memory_region"),
    ],
)
async def test_an_output_that_is_not_there_is_400(
    client: aiohttp.ClientSession, asked: dict[str, Any], said: str
) -> None:
    await refused(client, 400, said, body={**matrix(), "outputs": [asked]})


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_errors_are_the_protocols_own_by_either_route(
    model_server: FakeModelServer, fast_route: str
) -> None:
    settings = settings_for(model_server, fast_route=fast_route, max_rows=2, max_body_bytes=5000)
    async with gateway(settings) as client:
        await refused(client, 413, "3 rows are too many: send at most 2", body=matrix())
        await refused(client, 413, "at most 5000 bytes", body=matrix(name="x" * 5000))
        await refused(client, 415, "not text/plain", body=matrix(), headers={"Content-Type": "text/plain"})
        compressed = {"Content-Encoding": "gzip"}
        await refused(client, 415, "without Content-Encoding", body=matrix(), headers=compressed)
        await refused(client, 400, "greater than 0", body=matrix([[0, 1, 1, 1]], shape=[1, 4]))
        await refused(client, 404, "There are: iris, ride_duration", body=matrix(), model="rose")

        async def fail(_: object) -> aiohttp.web.StreamResponse:
            return aiohttp.web.Response(status=500)

        model_server.respond = fail
        one = matrix(ROWS[:1], shape=[1, 4])
        await refused(client, 503, "could not score", body=one)
        async with client.post("/v2/models/iris/infer", data=b"{") as response:
            assert (response.status, "no JSON" in (await response.json())["error"]) == (400, True)
        async with client.get("/v2/models/iris/infer") as response:
            assert (response.status, "POST" in (await response.json())["error"]) == (405, True)
        for path in ("/v2/nothing", "/v2/models/a%0Ab"):
            async with client.get(path) as response:
                assert (response.status, list(await response.json())) == (404, ["error"])


async def test_a_deadline_is_heard(client: aiohttp.ClientSession, model_server: FakeModelServer) -> None:
    async def never(_: object) -> aiohttp.web.StreamResponse:
        await asyncio.sleep(60)
        return aiohttp.web.Response()

    model_server.respond = never
    await refused(client, 400, "X-Request-Deadline", body=matrix(), headers={"X-Request-Deadline": "soon"})
    await refused(client, 504, "in time", body=matrix(), headers={"X-Request-Deadline": "0.05"})


async def get(client: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with client.get(path) as response:
        return response.status, await response.json()


async def test_the_server_and_its_models_describe_themselves(client: aiohttp.ClientSession) -> None:
    for path in ("/v2", "/v2/"):
        status, server = await get(client, path)
        assert (status, server["name"]) == (200, "sepal")
        assert "binary_tensor_data" in server["extensions"]
    assert await get(client, "/v2/health/live") == (200, {"live": True})
    assert await get(client, "/v2/health/ready") == (200, {"ready": True})
    assert await get(client, "/v2/models/iris/ready") == (200, {"name": "iris", "ready": True})
    for path in ("/v2/models/iris", "/v2/models/iris/versions/fake_7"):
        assert await get(client, path) == (
            200,
            {
                "name": "iris",
                "versions": ["fake_7"],
                "platform": "sklearn_pipeline",
                "inputs": [{"name": name, "datatype": "FP64", "shape": [-1]} for name in NAMES],
                "outputs": [
                    {"name": "output", "datatype": "BYTES", "shape": [-1]},
                    {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]},
                    {"name": "model_version", "datatype": "BYTES", "shape": [-1]},
                ],
                "properties": {"labels": '["Iris-setosa", "Iris-versicolor", "Iris-virginica"]'},
            },
        )
    _, ride = await get(client, "/v2/models/ride_duration")
    assert [one["datatype"] for one in ride["inputs"]] == ["INT64", "INT64", "FP64", "BYTES"]
    assert ride["properties"]["optional_inputs"] == '["pickup_datetime"]'


async def test_what_is_not_ready_says_so_with_503(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    model_server.status["iris"] = {"error": "iris has no champion yet"}
    for path in ("/v2/health/ready", "/v2/models/iris/ready", "/v2/models/iris"):
        status, body = await get(client, path)
        assert (status, body) == (503, {"error": "iris is not ready: iris has no champion yet"})
    assert (await get(client, "/v2/models/ride_duration/ready"))[0] == 200
    assert (await get(client, "/v2/health/live"))[0] == 200


@pytest.mark.parametrize("what", ["", "/ready"])
async def test_another_version_than_the_one_that_answers_is_404(
    client: aiohttp.ClientSession, what: str
) -> None:
    assert (await get(client, f"/v2/models/iris/versions/fake_7{what}"))[0] == 200
    status, body = await get(client, f"/v2/models/iris/versions/log_reg_1{what}")
    assert status == 404
    assert body["error"].startswith("Version 'log_reg_1' of iris does not answer. fake_7 does.")
    assert (await get(client, f"/v2/models/rose/versions/fake_7{what}"))[0] == 404


async def test_the_version_in_a_path_is_the_one_that_answers_or_there_is_no_answer(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    keys: list[float] = []

    async def canary(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        body = await request.read()
        if request.content_type != wire.KEYED_MEDIA_TYPE:  # to see whether it is ready
            return model_server.answer(request.match_info["model"], body)
        keys.append(wire.unpack(body)[-1])
        number = 8 if keys[-1] == wire.CHALLENGER_KEY and len(keys) < 3 else 7
        return model_server.response(wire.pack([number, 0, 1, 0, 0] * 3), '{"7": "fake_7", "8": "fake_8"}')

    model_server.respond = canary
    model_server.status["iris"]["trial"] = {"version": "fake_8", "mode": "canary", "share": 0.1}
    for version, expected in (("fake_7", 200), ("fake_8", 200), ("fake_8", 404), ("fake_9", 404)):
        status, body, _ = await infer(client, matrix(), model=f"iris/versions/{version}")
        assert status == expected, body
        assert body.get("model_version", version) == version
    assert keys == [wire.CHAMPION_KEY, wire.CHALLENGER_KEY, wire.CHALLENGER_KEY]
    assert (await get(client, "/v2/models/iris"))[1]["versions"] == ["fake_7", "fake_8"]
    model_server.status["iris"]["trial"] = {"version": "fake_8", "mode": "shadow"}
    assert (await get(client, "/v2/models/iris"))[1]["versions"] == ["fake_7"]


async def test_the_index_lists_every_version_and_which_answer(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    model_server.versions = {
        "iris": [{"name": "fake_6"}, {"name": "fake_7"}],
        "ride_duration": [{"name": "fake_1"}],
        "wine": [{"name": "fake_2"}],
    }
    model_server.status["ride_duration"] = {"error": "no champion"}
    async with client.post("/v2/repository/index") as response:
        found = [(one["name"], one["version"], one["state"]) for one in await response.json()]
        assert found == [
            ("iris", "fake_6", "UNAVAILABLE"),
            ("iris", "fake_7", "READY"),
            ("ride_duration", "fake_1", "UNAVAILABLE"),
        ]
    async with client.post("/v2/repository/index", json={"ready": True}) as response:
        assert [one["version"] for one in await response.json()] == ["fake_7"]
    async with client.post("/v2/repository/index", json={"ready": "yes"}) as response:
        assert (response.status, list(await response.json())) == (400, ["error"])


@pytest.mark.parametrize("what", ["load", "unload"])
async def test_loading_and_unloading_are_refused_with_the_way_out(
    client: aiohttp.ClientSession, what: str
) -> None:
    async with client.post(f"/v2/repository/models/iris/{what}", json={}) as response:
        assert response.status == 403
        assert "sepal models promote iris VERSION" in (await response.json())["error"]
    async with client.post(f"/v2/repository/models/rose/{what}", json={}) as response:
        assert response.status == 404


def test_a_boolean_may_come_as_bool_or_as_a_number_in_a_matrix() -> None:
    class Flags(Features):
        """Two of them."""

        first: bool = feature(example=True, description="One.")
        second: bool = feature(example=False, description="Another.")

    contract = Contract(name="flags", features=Flags, target=Labels(("a", "b"), "x", "a"))
    for tensor in (
        InputTensor(name="x", shape=[2, 2], datatype="FP64", data=[1.0, 0.0, 0, 1]),
        InputTensor(name="x", shape=[2, 2], datatype="BOOL", data=[[True, False], [False, True]]),
    ):
        columns, n_rows = read_columns(contract, [tensor], b"")
        assert ColumnEncoder(contract).encode(columns, n_rows) == wire.pack([1, 0, 0, 1])
    columns, n_rows = read_columns(
        contract, [InputTensor(name="x", shape=[1, 2], datatype="FP64", data=[2, 0.5])], b""
    )
    with pytest.raises(WrongValuesError):
        ColumnEncoder(contract).encode(columns, n_rows)
    binary = InputTensor(name="x", shape=[1, 2], datatype="BOOL", parameters={"binary_data_size": 2})
    assert read_columns(contract, [binary], b"\x01\x00") == ({"first": [True], "second": [False]}, 1)
