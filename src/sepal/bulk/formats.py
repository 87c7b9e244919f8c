"""Formats, compressions and encodings as names tell them; the standard library alone."""

import codecs
from pathlib import Path
from typing import Literal, TypeAlias

from sepal.errors import DataError

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]

ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


def format_of(path: str) -> Format | None:
    """The format that a file's name says, compressed or not; None if it says none."""
    name = Path(path)
    if name.suffix.lower() in COMPRESSIONS:
        name = name.with_suffix("")
    return ENDINGS.get(name.suffix.lower())


def check_encoding(encoding: str | None) -> str | None:
    """Its usual name; DataError if there is no such encoding of text."""
    if encoding is None:
        return None
    try:
        "".encode(encoding)
        return codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:
        raise DataError(f"There is no encoding {encoding!r}. Try utf-8, utf-16 or latin-1.") from error
