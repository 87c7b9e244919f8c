"""Answers as they come from the model server: numbers, and the names of the versions that gave them."""

import json
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sepal.contracts import Contract, Labels


@dataclass(frozen=True, slots=True)
class Answers:
    """Some rows' answers in the rows' order.

    `numbers` is flat: for each row the version's number, then the target's numbers.
    `versions` names at least the versions that occur.
    """

    numbers: "array[float]"
    versions: Mapping[float, str]


def joined(parts: Iterable[Answers]) -> Answers:
    """One after the other."""
    numbers: array[float] = array("d")
    versions: dict[float, str] = {}
    for part in parts:
        numbers += part.numbers
        versions.update(part.versions)
    return Answers(numbers, versions)


Formatter = Callable[[Answers], list[bytes]]
"""From answers to a JSON object for each row, as the contract's answer models describe it."""


def formatter(contract: Contract, *, probabilities: bool) -> Formatter:
    """The formatter of one route."""
    if not isinstance(contract.target, Labels):
        return _quantity_formatter(contract)
    starts = _LabelStarts(contract.target)
    width = contract.answer_width

    def label(answers: Answers) -> list[bytes]:
        numbers, versions = answers.numbers, answers.versions
        return [
            starts[versions[number], code] + b"}"
            for number, code in zip(numbers[0::width], numbers[1::width], strict=True)
        ]

    if not probabilities:
        return label
    template = ",".join(f"{_text(name).replace('%', '%%')}:%r" for name in contract.target.names)
    object_template = f',"probabilities":{{{template}}}}}'

    def label_and_probabilities(answers: Answers) -> list[bytes]:
        numbers, versions = answers.numbers, answers.versions
        columns = [numbers[at::width] for at in range(2, width)]
        return [
            starts[versions[number], code] + (object_template % row).encode()
            for number, code, row in zip(
                numbers[0::width], numbers[1::width], zip(*columns, strict=True), strict=True
            )
        ]

    return label_and_probabilities


class _LabelStarts(dict[tuple[str, float], bytes]):
    """The beginning of an answer's JSON for each version and label; a few dozen at most are in use."""

    MOST = 1000

    def __init__(self, labels: Labels) -> None:
        super().__init__()
        self._names = labels.names

    def __missing__(self, key: tuple[str, float]) -> bytes:
        if len(self) >= self.MOST:
            self.clear()
        version, code = key
        start = f'{{"output":{_text(self._names[int(code)])},"model_name":{_text(version)}'.encode()
        self[key] = start
        return start


def _quantity_formatter(contract: Contract) -> Formatter:
    width = contract.answer_width

    def quantity(answers: Answers) -> list[bytes]:
        numbers, versions = answers.numbers, answers.versions
        names = {number: _text(name) for number, name in versions.items()}
        return [
            f'{{"output":{value!r},"model_name":{names[number]}}}'.encode()
            for number, value in zip(numbers[0::width], numbers[1::width], strict=True)
        ]

    return quantity


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
