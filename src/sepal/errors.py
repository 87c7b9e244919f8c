"""The one family of errors, each with its HTTP status and its exit code.

SepalError
├── ConfigurationError        a setting, contract or recipe that can't work
│   ├── DuplicateNameError    two contracts or two recipes with one name
│   └── PortTakenError        another process listens where a tier should
├── NotFoundError             a name that is not there; says which are
│   └── NoChampionError       a model of which no version answers
├── DataError                 a file whose columns or rows can't be used
│   ├── TooManyRejectedError  more rejected rows than were allowed
│   ├── SourceAwayError       a file whose place does not answer just now
│   └── ResumeError           another input, version or order than the run began with
├── OutputBusyError           another run is writing the same output
├── StorageError              a disk that is full, or can't be written
├── ClusterError              Spark's job failed
├── StoppedError              a run that was told to stop, and can be resumed
├── ArtefactError             a stored version that must not be loaded
├── RegistryError             a database that can't be used as it is
├── GateError                 a version that its quality gate did not let pass
│   ├── RejectedError         worse than the gate allows
│   └── UndecidedError        too few rows to tell
├── TrialError                a trial that can't be started, or is not there to be stopped
├── TamperedError             a record or artefact that is not as Sepal wrote it
├── JobError                  a job that can't be taken on, or changed
│   ├── LocationError         an input or output where none is allowed
│   ├── KeyReusedError        an Idempotency-Key that stands for another job
│   └── JobEndedError         too late to cancel it
├── QueueError                the queue of jobs does not answer
├── DeadlineError             an X-Request-Deadline that is no time to wait
├── WrongValuesError          rows with values that their contract does not take
├── ClientGoneError           the client has hung up; nobody reads this one
├── AccessError               a request that is not answered for who sent it
│   ├── AuthenticationError   no key or token, or none that is good
│   ├── MissingScopeError     a key or token that is not for this
│   ├── RateLimitedError      too many requests
│   └── AccessUnavailableError    who may call can't be told just now
├── OverloadedError           more work than can be taken on
├── ServiceError              the service did not answer its client, or not well
│   ├── RequestRefusedError   it refused what was asked, such as wrong rows
│   │   ├── TooLargeError          more bytes or rows than it takes at once
│   │   ├── ModelNotServedError    a model that it does not have
│   │   └── AccessDeniedError      no credentials, or not enough of them
│   ├── ServiceAwayError      away, overloaded or limiting, however often it was tried
│   └── ServiceTooSlowError         no answer in the time that its client gave it
└── UpstreamError             the model server did not answer well
    ├── ModelServerUnavailableError    away, overloaded, or answering nonsense
    └── ModelServerTimeoutError        too slow
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar


class SepalError(Exception):
    """Something that a person can understand and act on; its text says how."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    exit_code: ClassVar[int] = 1

    retry_after: float | None = None
    """Seconds after which it may go better, if that is known."""


class ConfigurationError(SepalError):
    """A setting, contract or recipe that can't work."""

    exit_code = 3


class DuplicateNameError(ConfigurationError):
    """Two contracts, or two recipes, claim one name."""


class PortTakenError(ConfigurationError):
    """Another process listens where a tier should."""


class NotFoundError(SepalError):
    """A model, version, algorithm or file that is not there."""

    status = 404
    title = "Not found"
    exit_code = 4


class NoChampionError(NotFoundError):
    """A model that has no champion, or none before this one."""


class DataError(SepalError):
    """A file whose columns or rows can't be used."""

    exit_code = 5


class TooManyRejectedError(DataError):
    """More rows of a file are rejected than were allowed."""

    exit_code = 9


class SourceAwayError(DataError):
    """A file whose place, such as a store of objects, does not answer just now."""

    status = 503
    title = "Source unavailable"
    exit_code = 18


class ResumeError(DataError):
    """A run was begun with another input, version or options than it is to be resumed with."""

    exit_code = 10


class OutputBusyError(SepalError):
    """Another run is writing the same output."""

    exit_code = 11


class StorageError(SepalError):
    """A disk that is full, or a place that can't be written."""

    status = 507
    title = "Insufficient storage"
    exit_code = 12


class ClusterError(SepalError):
    """A job on Spark that failed, for a reason of the cluster's."""

    exit_code = 14


class StoppedError(SepalError):
    """A run that was told to stop; it can be resumed."""

    exit_code = 130


class ArtefactError(SepalError):
    """A stored version that must not be loaded: changed, missing, or made by other libraries."""

    exit_code = 6


class RegistryError(SepalError):
    """A database that can't be used as it is."""

    exit_code = 7


class GateError(SepalError):
    """A version that its quality gate did not let pass."""

    exit_code = 8


class RejectedError(GateError):
    """A version that is worse than its gate allows."""


class UndecidedError(GateError):
    """A version of which too few rows tell whether it is good enough."""


class TrialError(SepalError):
    """A trial that can't be started as things are, or is not there to be stopped."""

    exit_code = 15


class TamperedError(SepalError):
    """A record or an artefact that is not as Sepal wrote it."""

    exit_code = 13


class JobError(SepalError):
    """A job that can't be taken on as it is, or changed."""

    status = 422
    title = "Wrong job"
    exit_code = 5


class LocationError(JobError):
    """An input or output where none is allowed."""

    status = 403
    title = "Location not allowed"


class KeyReusedError(JobError):
    """An Idempotency-Key that came before, with another job."""

    title = "Idempotency key reused"


class JobEndedError(JobError):
    """A job that has ended already."""

    status = 409
    title = "Job has ended"


class QueueError(SepalError):
    """The queue of jobs does not answer, or not in time."""

    status = 503
    title = "Queue of jobs unavailable"
    exit_code = 7


class DeadlineError(SepalError):
    """An X-Request-Deadline that is no time to wait."""

    status = 422
    title = "Wrong values"


class WrongValuesError(SepalError):
    """Rows with values that their contract does not take; `errors` are as Pydantic has them.

    The place of each, its `loc`, begins with `body` and `rows`, as in errors of a prediction route.
    """

    status = 422
    title = "Wrong values"

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(f"{len(errors)} wrong value{'s' if len(errors) > 1 else ''}.")
        self.errors = errors


class ClientGoneError(SepalError):
    """The client has hung up before its rows were sent; nobody reads this one."""

    status = 499
    title = "Client closed request"


class AccessError(SepalError):
    """A request that is not answered for who sent it; `headers` go into the response."""

    status = 403
    title = "Forbidden"

    def __init__(self, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.headers = dict(headers or {})


class AuthenticationError(AccessError):
    """No key or token, or none that is good."""

    status = 401
    title = "Unauthorized"


class MissingScopeError(AccessError):
    """A key or token that is good, and not for this."""


class RateLimitedError(AccessError):
    """More requests than a key or an address may send."""

    status = 429
    title = "Too many requests"


class AccessUnavailableError(AccessError):
    """Who may call, or how often they have, can't be told just now."""

    status = 503
    title = "Access can't be checked"


class OverloadedError(SepalError):
    """More work than can be taken on; refused at once, so that the rest is done in time."""

    status = 503
    title = "Overloaded"

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class ServiceError(SepalError):
    """The service did not answer its client, or not well; `problem` is its problem document, if any."""

    status = 502
    title = "Bad answer of the service"
    exit_code = 16

    def __init__(self, text: str, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.problem = problem

    @property
    def request_id(self) -> str | None:
        """What the service knows the request by."""
        return str(self.problem["request_id"]) if self.problem and "request_id" in self.problem else None


class RequestRefusedError(ServiceError):
    """The service refused what was asked; asking the same again is of no use."""

    status = 422
    title = "Request refused"
    exit_code = 5


class TooLargeError(RequestRefusedError):
    """More bytes or rows than the service takes in one request."""

    status = 413
    title = "Request too large"


class ModelNotServedError(RequestRefusedError):
    """The service does not have the model."""

    status = 404
    title = "Model not served"
    exit_code = 4


class AccessDeniedError(RequestRefusedError):
    """The service wants credentials, or others than these."""

    status = 403
    title = "Access denied"
    exit_code = 17


class ServiceAwayError(ServiceError):
    """The service is away, overloaded or limiting its client, however often it was tried."""

    status = 503
    title = "Service away"


class ServiceTooSlowError(ServiceError):
    """The service took longer than its client gave it."""

    status = 504
    title = "Service too slow"


class UpstreamError(SepalError):
    """The model server did not answer, or not well."""

    status = 503
    title = "Model server unavailable"


class ModelServerUnavailableError(UpstreamError):
    """The model server is away, overloaded, or answers nonsense."""


class ModelServerTimeoutError(UpstreamError):
    """The model server took longer than the request's deadline."""

    status = 504
    title = "Model server too slow"


def reason_of(error: Exception) -> str:
    """What an error says; of one that is not ours, with its kind."""
    return str(error) if isinstance(error, SepalError) else f"{type(error).__name__}: {error}"


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """End a program that meets a SepalError with its text, and no traceback, and its exit code."""
    try:
        yield
    except SepalError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)
