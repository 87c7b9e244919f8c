"""What MLflow's own client of its scoring protocol gets for two data frames, as JSON."""

import json
import sys

import pandas as pd
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

host, port, path, frame_file = sys.argv[1:]
frame = pd.read_json(frame_file, convert_dates=["pickup_datetime"], precise_float=True)
client = ScoringServerClient(host, port)
client.wait_server_ready()
client.url_prefix += path
print(json.dumps(client.invoke(frame).get_predictions()[0].tolist()))  # noqa: T201
