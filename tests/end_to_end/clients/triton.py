"""What tritonclient gets from a server, as JSON; run by itself, since it brings gevent."""

import json
import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

url, rows_file = sys.argv[1:]
rows = np.array(json.loads(open(rows_file).read()))  # noqa: PTH123, SIM115 (a script)
client = triton.InferenceServerClient(url, network_timeout=30)


def infer(values, datatype="FP64", outputs=None, version="", **more):  # noqa: ANN001, ANN003, ANN201
    tensor = triton.InferInput("input", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, **more)
    return client.infer("iris", [tensor], outputs=outputs, model_version=version, request_id="42")


def told(result):  # noqa: ANN001, ANN201
    labels = [label.decode() for label in result.as_numpy("output")]
    return [labels, result.as_numpy("probabilities").tolist(), result.get_response()["model_version"]]


def refused(call):  # noqa: ANN001, ANN201
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return None


def features():  # noqa: ANN201
    tensors = []
    for at, described in enumerate(client.get_model_metadata("iris")["inputs"]):
        tensors.append(triton.InferInput(described["name"], [len(rows)], described["datatype"]))
        tensors[-1].set_data_from_numpy(np.ascontiguousarray(rows[:, at]))
    return client.infer("iris", tensors)


one = infer(rows[:1])
some = infer(rows, outputs=[triton.InferRequestedOutput("probabilities")])
version = one.get_response()["model_version"]
found = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model ready": client.is_model_ready("iris"),
    "version ready": client.is_model_ready("iris", version),
    "other version ready": client.is_model_ready("iris", "log_reg_99"),
    "server": client.get_server_metadata(),
    "model": client.get_model_metadata("iris"),
    "index": client.get_model_repository_index(),
    "id": one.get_response()["id"],
    "one": told(one),
    "many": told(infer(rows)),
    "many in json": told(infer(rows, binary_data=False)),
    "many, a tensor a feature": told(features()),
    "many, by version": told(infer(rows, version=version)),
    "fp32": told(infer(rows.astype(np.float32), "FP32")),
    "selected": [list(some.as_numpy("probabilities").shape), some.as_numpy("output") is None],
    "wrong shape": refused(lambda: infer(rows[:, :3].copy())),
    "wrong value": refused(lambda: infer(-rows[:2])),
    "other version": refused(lambda: infer(rows[:1], version="log_reg_99")),
    "other model": refused(lambda: client.get_model_metadata("rose")),
    "load": refused(lambda: client.load_model("iris")),
    "unload": refused(lambda: client.unload_model("iris")),
}
print(json.dumps(found))  # noqa: T201
