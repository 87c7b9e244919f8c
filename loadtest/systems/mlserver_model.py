"""Writes the model and its settings for `mlserver start`: `python -m … FOLDER`.

Ports come from the environment (MLSERVER_HTTP_PORT …). Adaptive batching is on; MLServer's guide
says to find its values by experiment.
"""

import json
import sys
from pathlib import Path

import joblib

from loadtest.systems.model import fit

_SERVER = {"debug": False, "host": "127.0.0.1", "parallel_workers": 1}
_MODEL = {
    "name": "iris",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "max_batch_size": 64,
    "max_batch_time": 0.001,
    "parameters": {"uri": "./iris.joblib", "version": "v1"},
}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(fit(), folder / "iris.joblib")
    (folder / "settings.json").write_text(json.dumps(_SERVER))
    (folder / "model-settings.json").write_text(json.dumps(_MODEL))
