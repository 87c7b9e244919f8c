"""Where jobs may read and write: no address leads out of the folders and URLs that are allowed."""

from pathlib import Path

import pytest

from sepal.errors import LocationError
from sepal.jobs.locations import check_location

ALLOWED = ("/data/jobs/", "s3://flowers/in")


@pytest.mark.parametrize(
    "address",
    [
        *("/data/jobs", "/data/jobs/a.csv", "/data/jobs/2026/*.csv", "/data/jobs/..a/b.csv"),
        *("s3://flowers/in/a.csv", "s3://flowers/in/2026/*.csv", "s3://flowers/in"),
    ],
)
def test_what_is_below_an_allowed_place_is_allowed(address: str) -> None:
    check_location("The input", address, ALLOWED, pattern=True)


@pytest.mark.parametrize(
    "address",
    [
        *("", ".", "a.csv", "./a.csv", "../a.csv", "~/a.csv", "data/jobs/a.csv"),
        *("/", "/data", "/data/jobs2/a.csv", "/etc/passwd", "/data/jobs/../secret.csv", "/data/jobs/.."),
        *("/data/jobs/./a.csv", "/data/jobs/a\0.csv", "/data/jobs/a\n.csv", "/data/jobs\\..\\a.csv"),
        *(
            "file:///data/jobs/a.csv",
            "http://flowers/in/a.csv",
            "S3://flowers/in/a.csv",
            "s3:/flowers/in/a",
        ),
        *("s3://flowers/in/../out/a.csv", "s3://flowers/in/%2e%2e/a.csv", "s3://flowers/in//a.csv"),
        *("s3://flowers/in/a.csv?endpoint_override=evil.example", "s3://flowers/in/a.csv#x"),
        *("s3://flowers/inside/a.csv", "s3://key:secret@flowers/in/a.csv", "s3://flowers.evil/in/a.csv"),
        *("s3:///flowers/in/a.csv", "//data/jobs/a.csv", "*", "/data/*/a.csv"),
    ],
)
def test_anything_else_is_refused_in_the_same_words(address: str) -> None:
    with pytest.raises(LocationError, match="SEPAL_JOBS_LOCATIONS") as told:
        check_location("The input", address, ALLOWED, pattern=True)
    assert str(told.value).startswith("The input is not allowed there.")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("address", ["/data/jobs", "/data/jobs/*.csv", "s3://flowers/in"])
def test_an_output_is_one_file_below_an_allowed_place(address: str) -> None:
    with pytest.raises(LocationError, match="The output"):
        check_location("The output", address, ALLOWED)


def test_without_the_setting_nothing_is_allowed() -> None:
    for address in ("/a.csv", "s3://flowers/a.csv", ""):
        with pytest.raises(LocationError):
            check_location("The input", address, ())


def test_links_lead_out_of_no_folder_but_into_another_allowed_one(tmp_path: Path) -> None:
    allowed, other, secret = (tmp_path / name for name in ("in", "other", "secret"))
    for folder in (allowed, other, secret):
        folder.mkdir()
    (allowed / "out").symlink_to(secret)
    (allowed / "there").symlink_to(other)
    (allowed / "loop").symlink_to(allowed / "loop")
    (secret / "a.csv").touch()
    places = (str(allowed), str(other))
    check_location("The input", f"{allowed}/there/a.csv", places)
    for name in ("out/a.csv", "out/none.csv", "out/*.csv"):
        with pytest.raises(LocationError, match="SEPAL_JOBS_LOCATIONS"):
            check_location("The input", f"{allowed}/{name}", places, pattern=True)


def test_a_folder_that_is_allowed_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    check_location("The input", f"{tmp_path}/link/a.csv", (f"{tmp_path}/link",))
