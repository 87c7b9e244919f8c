"""What kserve's InferenceRESTClient gets from a server, as JSON; run in an environment of its own."""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

url, rows_file = sys.argv[1:]
rows = np.array(json.loads(open(rows_file).read()))  # noqa: PTH123, SIM115 (a script)


def told(response):  # noqa: ANN001, ANN201
    outputs = {output.name: output.as_numpy().tolist() for output in response.outputs}
    labels, versions = ([text(one) for one in outputs[name]] for name in ("output", "model_version"))
    return [labels, outputs["probabilities"], ",".join(sorted(set(versions)))]


def text(value):  # noqa: ANN001, ANN201
    return value.decode() if isinstance(value, bytes) else value


def asked(values, datatype="FP64", outputs=None, **parameters):  # noqa: ANN001, ANN003, ANN201
    tensor = InferInput("input", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=parameters.pop("binary", True))
    return InferRequest("iris", [tensor], request_id="42", parameters=parameters, request_outputs=outputs)


async def refused(call):  # noqa: ANN001, ANN201
    try:
        await call
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]
    return None


async def main() -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2"))

    async def infer(request):  # noqa: ANN001, ANN202
        return await client.infer(url, request, "iris")

    some = await infer(asked(rows, outputs=[RequestedOutput("probabilities")]))
    found = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model ready": await client.is_model_ready(url, "iris"),
        "id": (await infer(asked(rows[:1]))).id,
        "one": told(await infer(asked(rows[:1]))),
        "many": told(await infer(asked(rows))),
        "many in json": told(await infer(asked(rows, binary=False))),
        "many, binary back": told(await infer(asked(rows, binary_data_output=True))),
        "fp32": told(await infer(asked(rows.astype(np.float32), "FP32"))),
        "selected": [output.name for output in some.outputs],
        "wrong shape": await refused(infer(asked(rows[:, :3].copy()))),
        "wrong value": await refused(infer(asked(-rows[:2]))),
        "other model": await refused(client.infer(url, asked(rows[:1]), "rose")),
    }
    print(json.dumps(found))  # noqa: T201


asyncio.run(main())
