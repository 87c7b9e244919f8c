"""The log: one JSON object a line to standard output, or text for people, from every logger alike."""

import json
import logging
import time
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from sepal.settings import Settings
from sepal.telemetry.correlation import CURRENT
from sepal.telemetry.writer import LineWriter

_FIRST = ("timestamp", "level", "event")


class Log:
    """Where the lines of a process go. Lines of a hot path are written by hand: see `Stamp`."""

    def __init__(self, settings: Settings, writer: LineWriter) -> None:
        self.writer = writer
        self.level: int = logging.getLevelNamesMapping()[settings.log_level.upper()]
        self.json = settings.log_format == "json"
        self.stamp = Stamp()

    def event(self, event: str, level: str = "info", **fields: object) -> None:
        """Write one line, if the level is not below what is logged."""
        if logging.getLevelNamesMapping()[level.upper()] < self.level:
            return
        line = {"timestamp": self.stamp(time.time()), "level": level, "event": event, **fields}
        self.writer.write(f"{self._render(line)}\n")

    def _render(self, line: MutableMapping[str, Any]) -> str:
        if self.json:
            return json.dumps(line, separators=(",", ":"), default=str)
        rendered = _CONSOLE(None, "", line)
        return str(rendered)


class Stamp:
    """Times as ISO 8601 in UTC, to the millisecond; made anew once in each."""

    def __init__(self) -> None:
        self._milliseconds = -1
        self._stamp = ""

    def __call__(self, now: float) -> str:
        """A time in seconds since 1970."""
        milliseconds = int(now * 1000)
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            seconds, rest = divmod(milliseconds, 1000)
            self._stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03d}Z"
        return self._stamp


SERVES_VARIABLE = "_SEPAL_SERVES"
"""By it the model server's processes, which BentoML starts, know that their log is ours. No setting."""

_of_process: list[Log] = []


def log_of_process(settings: Settings) -> Log:
    """The log of this process, set up when it is first asked for."""
    if not _of_process:
        _of_process.append(configure(settings))
    return _of_process[0]


def configure(settings: Settings, fd: int = 1) -> Log:
    """Have everything that is logged in this process go one way, to this file descriptor."""
    log = Log(settings, LineWriter(fd))
    chain: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _stamped,
        structlog.stdlib.ExtraAdder(),
        _name_requests,
    ]
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log.json:
        last += [
            structlog.processors.format_exc_info,
            _in_order,
            structlog.processors.JSONRenderer(separators=(",", ":")),
        ]
    else:
        last += [_CONSOLE]
    handler = _Handler(log.writer)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=chain))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *chain,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    _take_over(handler, log.level)
    return log


_CONSOLE = structlog.dev.ConsoleRenderer(colors=False)


class _Handler(logging.Handler):
    """Standard logging's way to our writer."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self._writer.write(f"{self.format(record)}\n")


def _take_over(handler: logging.Handler, level: int) -> None:
    """Every logger's records come to the handler: our own from the level on, others' from warnings on."""
    for logger in logging.Logger.manager.loggerDict.values():
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    for own in ("sepal", "model_training"):
        logging.getLogger(own).setLevel(level)
    for other in ("bentoml", "circus", "uvicorn", "uvicorn.error"):
        logging.getLogger(other).setLevel(max(level, logging.WARNING))


def _stamped(_logger: object, _method: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    line["timestamp"] = Stamp()(time.time())
    return line


def _name_requests(_logger: object, _method: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    current = CURRENT.get()
    if current is not None:
        ids = current.request_ids
        if len(ids) == 1:
            line["request_id"] = ids[0]
        else:
            line["request_ids"] = list(ids)
    return line


def _in_order(_logger: object, _method: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
    first = {name: line.pop(name) for name in _FIRST if name in line}
    return {**first, **line}
