"""What the sync client and the async one have in common: all but the sending and the waiting."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from os import PathLike
from typing import Any, TypeAlias, TypedDict
from urllib.parse import quote

import httpx

from sepal.client.answers import Prediction
from sepal.client.exchange import Course, Deadline, Lost, Request, Send, Steps, exchange
from sepal.client.problems import of_part
from sepal.client.retries import RETRIES, Budget, Retries
from sepal.client.rows import Given, Part
from sepal.contracts import Contract
from sepal.errors import ConfigurationError, DataError, ServiceError, TooLargeError

_MOST_BYTES = 16 * 2**20
"""Bytes in a request's body that the gateway takes unless it is told otherwise."""

Model: TypeAlias = str | Contract
"""A model's name; or its contract, to have answers checked against it and frames' columns chosen by it."""

File: TypeAlias = str | PathLike[str]


class Choices(TypedDict, total=False):
    """What may be chosen when a client is made; `Options` has the defaults."""

    api_key: str | None
    """Sent as X-API-Key."""
    token: str | Callable[[], str] | None
    """Sent as a bearer token; a function is asked for each call, so that a token can be renewed."""
    timeout: float
    """Seconds that a call may take, with all its parts and retries."""
    connect_timeout: float
    """Seconds that connecting may take."""
    batch_rows: int
    """Rows in one request; more are sent in parts."""
    concurrency: int
    """Parts of one call that are under way at once."""
    retries: Retries
    ca_file: File | None
    """PEM file of the authority that the service's certificate is from; by default the usual ones."""
    certificate: tuple[File, File] | None
    """PEM files of the client's own certificate and its key."""


class Asking(TypedDict, total=False):
    """What may be chosen for one call."""

    probabilities: bool
    """Whether to give each label's probability too."""
    timeout: float
    """Seconds for this call, in the place of the client's own."""
    trial_key: str
    """While a canary runs, calls with the same one, such as a user's id, meet the same version."""


@dataclass(frozen=True)
class Options:
    """How a client reaches the service, and how patient it is; see `Choices`."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    token: str | Callable[[], str] | None = field(default=None, repr=False)
    timeout: float = 10.0
    connect_timeout: float = 2.0
    batch_rows: int = 5_000
    concurrency: int = 4
    retries: Retries = RETRIES
    ca_file: File | None = None
    certificate: tuple[File, File] | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"{self.url!r} is no service's URL: it begins with http:// or https://, "
                "such as http://127.0.0.1:8000."
            )
        for name in ("timeout", "connect_timeout", "batch_rows", "concurrency"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: it must be more than 0.")
        for name in ("api_key", "token"):
            if isinstance(value := getattr(self, name), str) and (why := _unfit(value)) is not None:
                raise ConfigurationError(f"The {name} can't be sent: {why}. See how it was copied.")

    @property
    def headers(self) -> dict[str, str]:
        """Those of every request; a `token` that is a function is asked each time."""
        headers = {"Accept": "application/json, application/problem+json"}
        if self.api_key is not None:
            headers["X-API-Key"] = self.api_key
        if self.token is not None:
            token = self.token if isinstance(self.token, str) else self.token()
            if (why := _unfit(token)) is not None:
                raise ConfigurationError(f"The token can't be sent: {why}. See the function that gives it.")
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def for_httpx(self) -> dict[str, Any]:
        """Arguments of httpx's clients."""
        return {
            "base_url": self.url,
            "headers": {"User-Agent": f"sepal/{version('sepal')}"},
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=100),
            **({"verify": self._tls} if self._tls else {}),
        }

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        """Of a service with a certificate of one's own making, or that wants its clients'."""
        if self.ca_file is None and self.certificate is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate is not None:
                context.load_cert_chain(*self.certificate)
        except OSError as error:  # which ssl.SSLError is, too
            files = [str(file) for file in (self.ca_file, *(self.certificate or ())) if file is not None]
            raise ConfigurationError(f"{', '.join(files)} can't be used for TLS: {error}.") from error
        return context


class Core:
    """Makes the requests of a client, and reads their answers."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._budget = Budget(options.retries)
        self._most_bytes = _MOST_BYTES

    def get(self, path: str) -> Steps:
        """The steps of a question without a body."""
        return self._exchange(Request("GET", path, self.options.headers), self.deadline({}))

    def deadline(self, asking: Asking) -> Deadline:
        """Of a call that begins now."""
        return Deadline(asking.get("timeout", self.options.timeout))

    def given(self, model: Model, rows: object) -> Given:
        """Rows, as they were given."""
        return Given(rows, model if isinstance(model, Contract) else None)

    def parts(self, given: Given) -> list[Part]:
        """Rows in parts, each for a request."""
        return given.parts(self.options.batch_rows)

    def predict(
        self, model: Model, part: Part, deadline: Deadline, asking: Asking
    ) -> Course[list[Prediction]]:
        """The steps of the prediction of one part, in smaller ones if the service finds it too large."""
        body, alone = part.encode(), len(part.rows) == 1
        if alone or len(body) <= self._most_bytes:
            try:
                return part.decode((yield from self._ask(model, body, deadline, asking)))
            except ServiceError as error:
                if alone or not isinstance(error, TooLargeError):
                    raise of_part(error, part.start) from error.__cause__
            self._most_bytes = min(self._most_bytes, len(body) - 1)
        answers: list[Prediction] = []
        for piece in part.cut(1 + len(body) // self._most_bytes):
            answers += yield from self.predict(model, piece, deadline, asking)
        return answers

    def _ask(self, model: Model, body: bytes, deadline: Deadline, asking: Asking) -> Steps:
        name = quote(model if isinstance(model, str) else model.name, safe="")
        headers = {**self.options.headers, "Content-Type": "application/json"}
        if "trial_key" in asking:
            if (why := _unfit(asking["trial_key"])) is not None:
                raise DataError(f"The trial_key can't be sent: {why}. Send a hash of it instead.")
            headers["X-Trial-Key"] = asking["trial_key"]
        path = f"/{name}/{'predict-proba' if asking.get('probabilities') else 'predict'}"
        return self._exchange(Request("POST", path, headers, body), deadline)

    def _exchange(self, request: Request, deadline: Deadline) -> Steps:
        return exchange(request, deadline, self.options.retries, self._budget)

    def for_sending(self, step: Send) -> dict[str, Any]:
        """Arguments of httpx for one attempt."""
        left = step.deadline.left
        return {
            "method": step.request.method,
            "url": step.request.path,
            "headers": step.headers,
            "content": step.request.body,
            "timeout": httpx.Timeout(left, connect=min(left, self.options.connect_timeout)),
        }


def _unfit(value: str) -> str | None:
    """Why a text can't be a header's value, without showing it, as it may be secret; None if it can."""
    for at, character in enumerate(value, 1):
        if not " " <= character <= "~":
            what = "a line break" if character in "\r\n" else "not printable ASCII"
            return f"character {at} of {len(value)} is {what}"
    return "it begins or ends with a blank" if value != value.strip() else None


def lost(error: httpx.RequestError) -> Lost:
    """What a failure of httpx's comes to."""
    why = f"{error} ({type(error).__name__})" if str(error) else type(error).__name__
    passing = isinstance(error, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError)
    return Lost(why, again=passing and not _is_about_tls(error))


def _is_about_tls(error: BaseException | None) -> bool:
    """Whether a certificate is at fault, which no second attempt mends."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
