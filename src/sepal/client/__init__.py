"""The Python client of the gateway: sync and async, over httpx, with a core that does no I/O.

It imports neither numpy nor any library of frames; those of its caller are taken as they come.
"""

from sepal.client.answers import ModelDescription, Prediction
from sepal.client.asynchronous import AsyncClient
from sepal.client.retries import Retries
from sepal.client.synchronous import Client

__all__ = ["AsyncClient", "Client", "ModelDescription", "Prediction", "Retries"]
