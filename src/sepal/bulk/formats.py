"""Formats, compressions and encodings as names tell them; the standard library alone."""

import codecs
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

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

_NOT_OF_FILES = {"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf_7"}
"""Python's names for what writes text by other text, in addresses and programs."""


def format_of(path: str) -> Format | None:
    """The format that a file's name says, compressed or not; None if it says none."""
    name = name_of(path)
    if name.suffix.lower() in COMPRESSIONS:
        name = name.with_suffix("")
    return ENDINGS.get(name.suffix.lower())


def name_of(address: str) -> Path:
    """The name that an address ends with; what stands behind a URL's question mark is none of it."""
    return Path(address.partition("?")[0] if "://" in address else address)


def public(address: str) -> str:
    """An address as it may be told and kept: without the secrets that a URL can have in it."""
    if "://" not in address:
        return address
    url = urlsplit(address)
    user, _, host = url.netloc.rpartition("@")
    return urlunsplit(url._replace(netloc=host if ":" in user else url.netloc, query=""))


def check_encoding(encoding: str) -> str:
    """An encoding's usual name; ValueError if text has no such encoding."""
    try:
        "".encode(encoding)  # there are codecs of other things than text, too
        name = codecs.lookup(encoding).name
        if name.replace("-", "_") in _NOT_OF_FILES:
            raise LookupError(name)
        return name
    except (LookupError, ValueError) as error:
        raise ValueError(
            f"there is no encoding {encoding!r}; try utf-8, utf-16, latin-1 or cp1252"
        ) from error
