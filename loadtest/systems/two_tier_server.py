"""Starts both tiers of the plain two-tier system, and ends both when it is told to end."""

import os
import signal
import subprocess
import sys
from types import FrameType


def main() -> None:
    """Run BentoML and uvicorn until SIGTERM."""
    bentoml, gateway = os.environ["MODEL_SERVER_PORT"], os.environ["GATEWAY_PORT"]
    environment = {**os.environ, "MODEL_SERVER_URL": f"http://127.0.0.1:{bentoml}"}
    model_server = ["bentoml", "serve", "loadtest.systems.bentoml_service:Scorer"]
    tiers = [
        [*model_server, "--host", "127.0.0.1", "--port", bentoml],
        [
            "uvicorn",
            "loadtest.systems.two_tier:app",
            "--host",
            "127.0.0.1",
            "--port",
            gateway,
            "--no-access-log",
        ],
    ]
    processes = [subprocess.Popen([sys.executable, "-m", *tier], env=environment) for tier in tiers]

    def end(_number: int, _frame: FrameType | None) -> None:
        for process in processes:
            process.terminate()

    signal.signal(signal.SIGTERM, end)
    for process in processes:
        process.wait()


if __name__ == "__main__":
    main()
