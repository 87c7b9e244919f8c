"""`sepal score` as a real process: its numbers, its quarantine, its formats, options and messages."""

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.bulk.command import (
    HEADER,
    Place,
    frame_of,
    left_over,
    manifest_of,
    quarantine_of,
    random_irises,
)
from tests.bulk.outputs import LABELS, check, check_run, read, write

ROW = "5.1,3.5,1.4,0.2"


@pytest.mark.parametrize(
    ("source", "target", "n_rows"),
    [
        ("in.csv", "out.csv", 200_000),
        ("in.parquet", "out.parquet", 200_000),
        ("in.csv.gz", "out.csv.zst", 60_000),
        ("in.csv.zst", "out.jsonl.gz", 60_000),
        ("in.jsonl", "out.jsonl", 60_000),
        ("in.jsonl.zst", "out.parquet", 60_000),
        ("in.parquet", "out.csv.gz", 60_000),
    ],
)
def test_the_output_is_what_the_pipeline_predicts_row_by_row(
    place: Place, tmp_path: Path, source: str, target: str, n_rows: int
) -> None:
    check_run(place, tmp_path / source, tmp_path / target, n_rows)


def test_csv_and_parquet_have_the_same_doubles(place: Place, tmp_path: Path) -> None:
    write(frame_of(random_irises(50_000, 2)), tmp_path / "in.csv")
    for name in ("out.csv", "out.parquet", "out.jsonl"):
        place.score("iris", tmp_path / "in.csv", tmp_path / name, "--proba")
    columns = [f"probability_{label}" for label in LABELS]
    wanted = pl.read_parquet(tmp_path / "out.parquet").select(columns)
    with (tmp_path / "out.csv").open(newline="") as file:
        read_back = [[float(row[name]) for name in columns] for row in csv.DictReader(file)]
    assert read_back == [list(row) for row in wanted.iter_rows()]
    with (tmp_path / "out.jsonl").open() as file:
        assert [[json.loads(line)[name] for name in columns] for line in file] == read_back


def test_a_forest_without_an_evaluator_is_scored_by_scikit_learn_itself(
    place: Place, tmp_path: Path
) -> None:
    rows = random_irises(20_000, 3)
    write(frame_of(rows), tmp_path / "in.csv")
    place.score(
        "iris", tmp_path / "in.csv", tmp_path / "a.csv", "--proba", "--model-version", "rand_forest_2"
    )
    check(read(tmp_path / "a.csv"), rows, place.pipelines["rand_forest_2"])
    plain = place.with_settings(compiled_scoring="off")
    plain.score(
        "iris", tmp_path / "in.csv", tmp_path / "b.csv", "--proba", "--model-version", "rand_forest_2"
    )
    check(read(tmp_path / "b.csv"), rows, place.pipelines["rand_forest_2"])


def test_rides_are_scored_with_their_times_and_without(place: Place, tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    n_rows = 20_000
    rides = pl.DataFrame(
        {
            "lpep_pickup_datetime": [
                None
                if at % 7 == 0
                else f"2019-{1 + at % 12:02}-{1 + at % 28:02} {at % 24:02}:{at % 60:02}:07"
                for at in range(n_rows)
            ],
            "trip_distance": generator.uniform(0, 40, n_rows),
            "DOLocationID": generator.integers(1, 266, n_rows),
            "pickup_location_id": generator.integers(1, 266, n_rows),
        }
    )
    seconds = rides["lpep_pickup_datetime"].str.to_datetime().dt.timestamp("us").to_numpy() / 1e6
    rows = np.column_stack(
        [rides["pickup_location_id"], rides["DOLocationID"], rides["trip_distance"], seconds]
    ).astype(float)
    wanted = place.pipelines["linear_1"].predict(rows)
    rides.write_csv(tmp_path / "in.csv")
    rides.with_columns(pl.col("lpep_pickup_datetime").str.to_datetime()).write_parquet(
        tmp_path / "in.parquet"
    )
    rides.write_ndjson(tmp_path / "in.jsonl")
    for name in ("in.csv", "in.parquet", "in.jsonl"):
        place.score("ride_duration", tmp_path / name, tmp_path / "out.parquet")
        found = pl.read_parquet(tmp_path / "out.parquet")["prediction"].to_numpy()
        assert np.abs(found - wanted).max() <= 1e-12 * np.abs(wanted).max()
    told = manifest_of(tmp_path / "out.parquet")["predictions"]
    assert told["min"] == found.min()
    assert told["p50"] == pytest.approx(np.median(wanted), rel=0.011)


FLOWERS = "colour,Height (cm),wild,petals,note,seen,scent"
GOOD = [
    "red,12.5,true,5,x,2019-01-15 08:30:00,0.5",
    "none,1,FALSE,7.0,,,",
    'blue, 3 , true ,9,"a ""b"" c",2019-01-15,',
]
BAD: list[tuple[bytes, str, str]] = [
    (b",12.5,true,5,,,", "colour", "missing"),
    (b"red,,true,5,,,", "Height (cm)", "missing"),
    (b"red,  ,true,5,,,", "Height (cm)", "missing"),
    (b"red,tall,true,5,,,", "Height (cm)", "not a number"),
    (b"red,nan,true,5,,,", "Height (cm)", "not a number"),
    (b"red,inf,true,5,,,", "Height (cm)", "not a number"),
    (b"red,-0.1,true,5,,,", "Height (cm)", "under 0"),
    (b"red,100.1,true,5,,,", "Height (cm)", "over 100"),
    (b"red,1,true,5.5,,,", "petals", "not a whole number"),
    (b"red,1,true,0,,,", "petals", "under 1"),
    (b"mauve,1,true,5,,,", "colour", "an unknown category"),
    (b"red,1,maybe,5,,,", "wild", "not true or false"),
    (b"red,1,true,5,,soon,", "seen", "not a wall-clock time"),
    (b"red,1,true,5,,2019-01-15T08:30:00Z,", "seen", "not a wall-clock time"),
    (b"red,1,true,5,,1999-12-31,", "seen", "under 2000-01-01T00:00:00"),
    (b"red,1,true,5,,,much", "scent", "not a number"),
    (b"red,1,true,5,,,1.5", "scent", "over 1"),
    (b"red,1,true", "", "3 values, the header has 7"),
    (b"red,1,true,5,,,,,", "", "9 values, the header has 7"),
    (b"red,1,true,5,\xff,,", "", "not valid text in the file's encoding"),
    (b'red,1,true,5,a"b,,', "", "the quotes are not sound"),
    (b'red,1,true,5,"a"b,,', "", "the quotes are not sound"),
    (b'"red,1,true,5,,,', "", "the quotes are not sound"),
    (b"mauve,x,perhaps,y,,,", "Height (cm)", "not a number"),
]


@pytest.mark.parametrize("line_break", [b"\n", b"\r\n"])
def test_every_kind_of_bad_row_is_quarantined_with_its_line_and_reason_and_no_other(
    place: Place, tmp_path: Path, line_break: bytes
) -> None:
    lines, wanted, kept = [FLOWERS.encode()], [], []
    for at, (line, column, reason) in enumerate(BAD * 20):
        for good in GOOD[: at % 4]:
            lines.append(good.encode())
            kept.append(good.split(",")[0])
        lines.append(line)
        wanted.append((str(len(lines)), column, reason, line.decode("utf-8", "replace")))
        if at % 5 == 0:
            lines.append(b"")
        if at % 9 == 0:
            lines += [b'blue,4,true,5,"two', b'lines",,']
            kept.append("blue")
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_bytes(line_break.join(lines) + line_break)
    place.score("flowers", path, output, "--keep", "colour,note", "--max-rejected", "100%")
    found = [(row["line"], row["column"], row["reason"], row["values"]) for row in quarantine_of(output)]
    assert found == wanted
    assert {row["file"] for row in quarantine_of(output)} == {str(path)}
    scored = read(output)
    assert scored["colour"].to_list() == kept
    assert set(scored.filter(pl.col("note").str.starts_with("two"))["note"]) == {
        f"two{line_break.decode()}lines"
    }
    told = manifest_of(output)
    assert told["rows"] == {"read": len(kept) + len(wanted), "scored": len(kept), "rejected": len(wanted)}
    assert told["rejected_by_reason"]["Height (cm) not a number"] == 80
    assert sum(told["rejected_by_reason"].values()) == len(wanted)


def test_a_row_too_long_and_one_too_short_do_not_make_up_for_each_other(
    place: Place, tmp_path: Path
) -> None:
    path = tmp_path / "in.csv"
    path.write_text(f"{HEADER},x\n{ROW},a\n{ROW},b,9,9\n5.1,3.5\n1,{ROW},c\n{ROW}\n{ROW},d\n")
    place.score("iris", path, tmp_path / "out.csv", "--max-rejected", "4", "--row-id", "id")
    assert [row["line"] for row in quarantine_of(tmp_path / "out.csv")] == ["3", "4", "5", "6"]
    assert read(tmp_path / "out.csv")["id"].to_list() == ["in/2", "in/7"]


JSON_BAD = [
    ("[1, 2]", "", "not a JSON object"),
    ("7", "", "not a JSON object"),
    ("null", "", "not a JSON object"),
    ('{"petals": 5', "", "not a JSON object"),
    ("petals", "", "not a JSON object"),
    ('{"Height (cm)": NaN}', "", "not a JSON object"),
    ('{"Height (cm)": 1e400}', "", "not a JSON object"),
    ('{"Height (cm)": "12", "petals": 5, "colour": "red", "wild": true}', "Height (cm)", "not a number"),
    ('{"Height (cm)": true, "petals": 5, "colour": "red", "wild": true}', "Height (cm)", "not a number"),
    ('{"Height (cm)": [1], "petals": 5, "colour": "red", "wild": true}', "Height (cm)", "not a number"),
    ('{"Height (cm)": 1, "petals": 5.5, "colour": "red", "wild": true}', "petals", "not a whole number"),
    ('{"Height (cm)": 1, "petals": 5, "colour": "red", "wild": 1}', "wild", "not true or false"),
    (
        '{"Height (cm)": 1, "petals": 5, "colour": "red", "wild": true, "seen": 12}',
        "seen",
        "not a wall-clock time",
    ),
    ('{"petals": 5, "colour": "red", "wild": true}', "Height (cm)", "missing"),
    ("{}", "Height (cm)", "missing"),
]


def test_every_kind_of_bad_json_is_quarantined_with_its_line_and_reason(
    place: Place, tmp_path: Path
) -> None:
    good = '{"Height (cm)": 12.5, "petals": 5, "colour": "red", "wild": true, "note": {"a": [1, "é"]}}'
    later = '{"wild": false, "colour": "none", "petals": 7.0, "Height (cm)": 3, "seen": "2019-01-15T08:30"}'
    lines, wanted, n_scored = [good, later], [], 2
    for line, column, reason in JSON_BAD * 3:
        lines += [good, "", line, later]
        n_scored += 2
        wanted.append((str(len(lines) - 1), column, reason, line))
    path, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text("\n".join(lines))
    place.score("flowers", path, output, "--keep", "note,petals", "--max-rejected", "100%")
    found = [(row["line"], row["column"], row["reason"], row["values"]) for row in quarantine_of(output)]
    assert found == wanted
    scored = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(scored) == n_scored
    assert json.loads(scored[0]["note"]) == {"a": [1, "é"]}
    assert scored[1]["note"] is None


def test_a_key_that_first_comes_late_is_told_and_not_overlooked(place: Place, tmp_path: Path) -> None:
    row = '{"PULocationID": 1, "DOLocationID": 2, "trip_distance": 3'
    path = tmp_path / "in.jsonl"
    path.write_text(f"{row}}}\n" * 1500 + f'{row}, "lpep_pickup_datetime": "2019-01-15T08:30:00"}}\n')
    told = place.fails("ride_duration", path, tmp_path / "out.csv", code=5)
    assert f"{path} has 'lpep_pickup_datetime' in line 1,501, in none of the first 1,000 lines" in told
    path.write_text(f"{row}}}\n" * 900 + f'{row}, "lpep_pickup_datetime": "2019-01-15T08:30:00"}}\n')
    place.score("ride_duration", path, tmp_path / "out.csv", "--restart")
    answers = read(tmp_path / "out.csv")["prediction"]
    assert answers[900] != answers[899] == answers[0]


def test_parquet_of_other_types_is_checked_value_by_value(place: Place, tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "petals": [5, 0, None, 7],
            "Height (cm)": pl.Series([1.5, 2.5, 3.5, float("nan")], dtype=pl.Float32),
            "colour": pl.Series(["red", "blue", "red", "red"], dtype=pl.Categorical),
            "wild": [True, False, True, True],
            "list": [[1], [2, 3], [], None],
        }
    )
    frame.write_parquet(tmp_path / "in.parquet")
    output = tmp_path / "out.parquet"
    place.score("flowers", tmp_path / "in.parquet", output, "--keep", "all", "--max-rejected", "3")
    assert [(r["line"], r["column"], r["reason"]) for r in quarantine_of(output)] == [
        ("2", "petals", "under 1"),
        ("3", "petals", "missing"),
        ("4", "Height (cm)", "missing"),
    ]
    assert json.loads(quarantine_of(output)[0]["values"])["petals"] == 0
    assert read(output).row(0)[:5] == (5, 1.5, "red", True, [1])
    told = place.fails("flowers", tmp_path / "in.parquet", tmp_path / "out.csv", "--keep", "list", code=5)
    assert "csv has no values such as those of 'list': List(Int64)" in told


def text_of(n_rows: int, separator: str = ",", line_break: str = "\n") -> str:
    lines = [HEADER, *(ROW for _ in range(n_rows))]
    return "".join(line.replace(",", separator) + line_break for line in lines)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (text_of(9, line_break="\r\n").encode(), []),
        (text_of(9).encode("utf-8-sig"), []),
        (text_of(9).encode("utf-16"), []),
        (text_of(9).encode("utf-16-le"), ["--encoding", "utf-16-le"]),
        (text_of(9).encode("utf-32"), []),
        (text_of(9).encode("latin-1"), ["--encoding", "latin-1"]),
        (text_of(9, ";").encode(), ["--delimiter", ";"]),
        (text_of(9, "\t").encode(), ["--delimiter", "\\t"]),
        (text_of(9, "|").encode(), ["--delimiter", "|"]),
        (text_of(9).encode()[:-1], []),
        (text_of(9).replace("\n", "\n\n").encode(), []),
        (("\r\n" + text_of(9)).lstrip().encode() + b"\r\n\r\n", []),
        (text_of(9).replace(",", '","').replace("\n", '"\n"').encode().join([b'"', b""])[:-1], []),
    ],
    ids=[
        *("crlf", "bom", "utf16", "utf16le", "utf32", "latin1", "semicolon", "tab", "pipe"),
        *("no-end", "blank-lines", "blank-end", "quoted"),
    ],
)
def test_text_of_any_make_is_read(place: Place, tmp_path: Path, content: bytes, options: list[str]) -> None:
    (tmp_path / "in.csv").write_bytes(content)
    place.score("iris", tmp_path / "in.csv", tmp_path / "out.csv", *options)
    assert len(read(tmp_path / "out.csv")) == 9


def test_latin_1_is_carried_over_as_utf_8(place: Place, tmp_path: Path) -> None:
    text = f"{HEADER},näme\n{ROW},Åsa\n{ROW},é☃\n"
    (tmp_path / "in.csv").write_bytes(text.encode("latin-1", "replace"))
    place.score(
        "iris", tmp_path / "in.csv", tmp_path / "out.csv", "--encoding", "latin-1", "--keep", "näme"
    )
    assert read(tmp_path / "out.csv")["näme"].to_list() == ["Åsa", "é?"]
    place.score("iris", tmp_path / "in.csv", tmp_path / "b.csv", "--max-rejected", "100%")
    assert [row["line"] for row in quarantine_of(tmp_path / "b.csv")] == ["2", "3"]


def test_a_file_of_the_header_alone_gives_an_output_of_the_header_alone(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(HEADER)
    for name in ("out.csv", "out.parquet"):
        place.score("iris", tmp_path / "in.csv", tmp_path / name, "--proba")
        assert read(tmp_path / name).shape == (0, 5)
    place.score("iris", tmp_path / "in.csv", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    place.score("ride_duration", _rides(tmp_path, 0), tmp_path / "rides", "--partition-by", "year")
    assert (tmp_path / "rides").is_dir()
    assert manifest_of(tmp_path / "rides")["rows"]["read"] == 0


def _rides(folder: Path, n_rows: int) -> Path:
    path = folder / "rides.csv"
    lines = [
        f"{at % 250 + 1},{at % 200 + 2},{at}.5,20{18 + at % 2}-{1 + at % 3:02}-15 08:30:00"
        if at % 10
        else f"3,4,{at},"
        for at in range(n_rows)
    ]
    path.write_text(
        "\n".join(["PULocationID,DOLocationID,trip_distance,tpep_pickup_datetime", *lines]) + "\n"
    )
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", r"in\.csv is empty: it has not even a header"),
        (b"\n\n", "Columns found: none"),
        (b"a,b\n1,2\n", r"Missing for iris: SepalLengthCm, .*Columns found: a, b\."),
        (
            b"SepalLenghtCm,sepal length,SepalWidthCm,PetalLengthCm,PetalWidthCm\n",
            "Missing for iris: SepalLengthCm.*Perhaps 'SepalLenghtCm' for SepalLengthCm",
        ),
        (HEADER.replace(",", ";").encode() + b"\n", "Give --delimiter ';'"),
        (HEADER.replace(",", "\t").encode() + b"\n", r"Give --delimiter '\\t'"),
        (
            f"{HEADER},SepalLengthCm\n{ROW},1\n".encode(),
            "SepalLengthCm.*both are iris's SepalLengthCm: keep one",
        ),
        (f"{HEADER},sepal length (cm)\n{ROW},1\n".encode(), "'sepal length \\(cm\\)' both are iris's"),
        (text_of(3).encode("utf-16-le"), "zero bytes in its header.*--encoding, such as utf-16-le"),
        (b"PAR1\0\0\0\0", "zero bytes in its header"),
        (b'"a,b\n1,2\n3,4\n', "a quote in it is not closed"),
        (b"a,b\rc,d\n", "header of .* can't be read"),
        (
            ",".join(f"c{at}" for at in range(20_000)).encode() + b"\n",
            "20,000 columns; at most 10,000 are read",
        ),
        (
            ",".join(f"c{at}" for at in range(1_000_000)).encode() + b"\n",
            "columns; at most|no header: it is longer",
        ),
    ],
    ids=lambda value: "",
)
def test_a_wrong_header_is_told_before_the_first_row(
    place: Place, tmp_path: Path, content: bytes, told: str
) -> None:
    (tmp_path / "in.csv").write_bytes(content)
    message = place.fails_here("iris", tmp_path / "in.csv", tmp_path / "out.csv", code=5)
    assert re.search(told, message), message
    assert len(message) < 2000
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_columns_may_stand_in_any_order_among_others_under_any_known_name(
    place: Place, tmp_path: Path
) -> None:
    rows = random_irises(500, 8)
    frame = frame_of(rows).select(
        pl.lit("x").alias("first"),
        pl.col("PetalWidthCm").alias("petal width (cm)"),
        "SepalWidthCm",
        pl.lit(None, dtype=pl.String).alias("empty"),
        pl.col("SepalLengthCm").alias("sepal length (cm)"),
        "PetalLengthCm",
        pl.lit(7).alias("last"),
    )
    pipeline = place.pipelines["log_reg_1"]
    for name in ("in.csv", "in.parquet", "in.jsonl"):
        write(frame, tmp_path / name)
        place.score("iris", tmp_path / name, tmp_path / "out.parquet", "--proba", "--keep", "last,first")
        scored = read(tmp_path / "out.parquet")
        assert scored.columns[:3] == ["last", "first", "prediction"]
        check(scored, rows, pipeline)


def test_kept_columns_are_carried_over_as_they_are(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(
        f'id,{HEADER},note,prediction\n007,{ROW},"a,""b""",old\n,{ROW},"",older\n'
        "1e3, 5.10 ,3.5,1.4,0.2,é,\n"
    )
    place.score("iris", path, tmp_path / "out.csv", "--keep", "all")
    with (tmp_path / "out.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", *HEADER.split(","), "note", "prediction", "model_version"]
    assert [row[0] for row in rows] == ["007", "", "1e3"]
    assert [row[1] for row in rows] == ["5.1", "5.1", " 5.10 "]
    assert [row[5] for row in rows] == ['a,"b"', "", "é"]
    assert {row[6] for row in rows} <= set(LABELS)


def test_row_ids_tell_file_and_line(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.csv", "b.2019.csv"):
        (folder / name).write_text(f'{HEADER},note\n{ROW},"x\ny"\n{ROW},z\nbad,3.5,1.4,0.2,\n{ROW},\n')
    (folder / "_ignored.csv").write_text("x")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "c.csv").write_text("x")
    output = tmp_path / "out.csv"
    place.score("iris", folder, output, "--row-id", "ride_id", "--max-rejected", "2")
    assert read(output)["ride_id"].to_list() == ["a/2", "a/4", "a/6", "b.2019/2", "b.2019/4", "b.2019/6"]
    assert [(Path(row["file"]).name, row["line"]) for row in quarantine_of(output)] == [
        ("a.csv", "5"),
        ("b.2019.csv", "5"),
    ]
    (folder / "a.csv.gz").write_bytes(gzip.compress((folder / "a.csv").read_bytes()))
    told = place.fails("iris", folder, output, "--row-id", "ride_id", code=5)
    assert "would give their rows the same ids" in told


def test_files_of_a_pattern_are_scored_in_the_order_of_their_names(place: Place, tmp_path: Path) -> None:
    rows = random_irises(300)
    for at, name in enumerate(("c[1].csv", "a1.csv", "b.parquet")):
        write(frame_of(rows[at * 100 : at * 100 + 100]), tmp_path / name)
    pipeline = place.pipelines["log_reg_1"]
    place.score("iris", tmp_path / "[ab]*", tmp_path / "out.parquet", "--proba")
    check(read(tmp_path / "out.parquet"), rows[100:], pipeline)
    place.score("iris", tmp_path / "c[1].csv", tmp_path / "out.parquet", "--proba")
    check(read(tmp_path / "out.parquet"), rows[:100], pipeline)
    assert "There is no file at" in place.fails("iris", tmp_path / "z*", tmp_path / "o.csv", code=4)


def test_output_is_partitioned_by_parts_of_the_time_and_by_columns(place: Place, tmp_path: Path) -> None:
    rides = _rides(tmp_path, 300)
    output = tmp_path / "out"
    options = [
        "--partition-by",
        "year,month",
        "--row-id",
        "ride_id",
        "--prediction-name",
        "predicted_duration",
    ]
    place.score("ride_duration", rides, output, *options)
    names = sorted(str(path.relative_to(output)) for path in output.rglob("*.parquet"))
    nowhere = "year=__HIVE_DEFAULT_PARTITION__/month=__HIVE_DEFAULT_PARTITION__/part-0.parquet"
    assert len(names) == 7
    assert nowhere in names
    assert "year=2018/month=1/part-0.parquet" in names
    one = pl.read_parquet(output / "year=2018" / "month=1" / "part-0.parquet", hive_partitioning=False)
    assert one.columns == ["ride_id", "predicted_duration", "model_version"]
    whole = pl.read_parquet(output, hive_partitioning=True)
    assert sorted(whole["ride_id"]) == sorted(f"rides/{at + 2}" for at in range(300))
    before = {path: path.read_bytes() for path in output.rglob("*.parquet")}
    place.score("ride_duration", rides, output, *options)
    assert {path: path.read_bytes() for path in output.rglob("*.parquet")} == before
    place.score("ride_duration", rides, output, "--partition-by", "DOLocationID", code=5)
    place.score(
        "ride_duration", rides, tmp_path / "b", "--partition-by", "DOLocationID", "--keep", "trip_distance"
    )
    zones = {4 if at % 10 == 0 else at % 200 + 2 for at in range(300)}
    assert {path.name for path in (tmp_path / "b").iterdir()} == {f"DOLocationID={zone}" for zone in zones}


def test_a_sample_is_the_first_rows(place: Place, tmp_path: Path) -> None:
    rows = random_irises(40_000)
    frame_of(rows).write_csv(tmp_path / "in.csv")
    for n_rows in (1, 10, 39_999, 50_000):
        place.with_settings(bulk_memory="64MiB").score(
            "iris", tmp_path / "in.csv", tmp_path / "out.csv", "--proba", "--sample", n_rows
        )
        check(read(tmp_path / "out.csv"), rows[:n_rows], place.pipelines["log_reg_1"])


def test_a_dry_run_checks_and_writes_nothing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"{HEADER}\n{ROW}\n{ROW}\nbad,1,1,1\n")
    told = place.score("iris", tmp_path / "in.csv", tmp_path / "out.csv", "--dry-run").stdout
    assert "2 rows can be scored" in told
    assert "rejected: 1 of them: SepalLengthCm not a number" in told
    told = place.score(
        "iris", tmp_path / "in.csv", tmp_path / "out.csv", "--dry-run", "--log-format", "json"
    ).stdout
    assert json.loads(told) == {
        "event": "dry run",
        "scored": 2,
        "rejected_by_reason": {"SepalLengthCm not a number": 1},
    }
    (tmp_path / "in.csv").write_text("a,b\n")
    assert "Missing for iris" in place.fails(
        "iris", tmp_path / "in.csv", tmp_path / "o.csv", "--dry-run", code=5
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    ("allowed", "n_bad", "code"),
    [("2", 2, 0), ("2", 3, 9), ("1%", 10, 0), ("1%", 11, 9), ("0", 1, 9), ("0%", 0, 0)],
)
def test_more_rejected_rows_than_allowed_stop_the_run_with_nothing_published(
    place: Place, tmp_path: Path, allowed: str, n_bad: int, code: int
) -> None:
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"
    path.write_text("\n".join([HEADER, *["x,1,1,1"] * n_bad, *[ROW] * (1000 - n_bad)]))
    if code == 0:
        place.score("iris", path, output, "--max-rejected", allowed)
        assert len(read(output)) == 1000 - n_bad
        return
    told = place.fails("iris", path, output, "--max-rejected", allowed, code=code)
    assert f"{n_bad} of 1,000 rows are rejected, more than --max-rejected {allowed} allows" in told
    assert "SepalLengthCm not a number" in told
    named = Path(told.rpartition("Look at ")[2].removesuffix("."))
    assert named.read_text().count("not a number") == n_bad
    assert not output.exists()
    place.score("iris", path, output, "--max-rejected", "100%")
    assert len(read(output)) == 1000 - n_bad
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--max-rejected", "many"], "--max-rejected 'many': give a count of rows such as 100, or a share"),
        (["--max-rejected", "1.5"], "--max-rejected '1.5'"),
        (["--max-rejected", "101%"], "--max-rejected '101%'"),
        (["--max-rejected=-1"], "--max-rejected '-1'"),
        (["--delimiter", "é"], "--delimiter 'é': give one ASCII character"),
        (["--delimiter", '"'], "--delimiter '\"': give one ASCII character"),
        (["--delimiter", ";;"], "--delimiter ';;'"),
        (["--encoding", "klingon"], "--encoding 'klingon': there is no encoding 'klingon'; try utf-8"),
        (["--encoding", "hex"], "there is no encoding 'hex'"),
        (["--encoding", "idna"], "there is no encoding 'idna'"),
        (["--format", "xlsx"], "--format 'xlsx': Input should be 'csv', 'jsonl' or 'parquet'"),
        (["--input-format", "xlsx"], "--input-format 'xlsx'"),
        (["--partition-by", "year"], "only Parquet can be partitioned: give --format parquet"),
        (["--partition-by", "a,a", "--format", "parquet"], "twice"),
        (["--partition-by", "model_version", "--format", "parquet"], "can't be partitioned by"),
        (["--row-id", "prediction"], "two columns of the output would have one name"),
        (["--prediction-name", "model_version"], "two columns of the output would have one name"),
        (["--prediction-name", ""], "--prediction-name ''"),
        (["--sample", "0"], "--sample"),
        (["--workers", "0"], "--workers"),
        (["--workers", "2", "--engine", "spark"], "--workers is for --engine local"),
        (["--nonsense"], "No such option"),
    ],
)
def test_a_wrong_option_is_told_by_its_name_with_exit_code_2(
    place: Place, tmp_path: Path, options: list[str], told: str
) -> None:
    (tmp_path / "in.csv").write_text(text_of(1))
    message = place.fails_here("iris", tmp_path / "in.csv", tmp_path / "out.csv", *options, code=2)
    assert told in message
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_an_output_that_does_not_tell_its_format_is_asked_for_it(place: Place, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(text_of(1))
    assert "does not say its format" in place.fails("iris", tmp_path / "in.csv", tmp_path / "out", code=2)
    place.score("iris", tmp_path / "in.csv", tmp_path / "out", "--format", "jsonl")
    (tmp_path / "in.csv").rename(tmp_path / "in.dat")
    assert "--input-format" in place.fails("iris", tmp_path / "in.dat", tmp_path / "o.csv", code=5)
    place.score("iris", tmp_path / "in.dat", tmp_path / "o.csv", "--input-format", "csv")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ["roses", "in.csv", "out.csv"],
            4,
            "There is no model 'roses'. There are: flowers, iris, ride_duration",
        ),
        (["iris", "nowhere.csv", "out.csv"], 4, "There is no file at nowhere.csv"),
        (["iris", "in.csv", "out.csv", "--model-version", "log_reg_9"], 4, "log_reg_9"),
        (
            ["iris", "in.csv", "out.csv", "--keep", "a"],
            5,
            "There is no column 'a' to keep. There are: Sepal",
        ),
        (["iris", "in.csv", "out.csv", "--keep", "prediction"], 5, "no column 'prediction'"),
        (["iris", "in.csv", "in.csv"], 5, "in.csv is an input, too"),
        (
            ["iris", "in.csv", "folder", "--format", "csv"],
            5,
            "folder is a folder: give the name of a file in it",
        ),
        (["iris", "in.csv", "full", "--partition-by", "prediction"], 5, "full has other things in it"),
        (
            ["iris", "in.csv", "in.csv", "--partition-by", "prediction", "--format", "parquet"],
            5,
            "is an input, too",
        ),
        (
            ["iris", "in.csv", "other.csv", "--partition-by", "prediction", "--format", "parquet"],
            5,
            "writes a folder",
        ),
        (
            ["iris", "in.csv", "out", "--partition-by", "month"],
            5,
            "There is no column 'month' to partition by",
        ),
        (
            ["ride_duration", "r.csv", "out", "--partition-by", "week"],
            5,
            "year, month, day where the contract has a time",
        ),
        (["ride_duration", "r.csv", "out.csv", "--proba"], 5, "no probabilities"),
        (
            ["iris", "in.csv", "out.csv", "--proba", "--row-id", "probability_Iris-setosa"],
            5,
            "Two columns of the output would be 'probability_Iris-setosa'",
        ),
        (["iris", "in.csv", "out.csv", "--encoding", "utf-16"], 5, "in.csv is not in utf-16"),
        (["iris", "in.csv", "out.csv", "--memory", "1MB"], 3, "SEPAL_BULK_MEMORY"),
        (["iris", "http://x/in.csv", "out.csv"], 5, "http://x/in.csv is no address that can be read"),
        (["iris", "in.csv", "in.csv/out.csv"], 12, "can't be written: Not a directory"),
        (["iris", "in.parquet", "out.csv"], 5, "is no Parquet file that can be read"),
        (["iris", "in.jsonl", "out.csv"], 5, "does not begin with a JSON object on one line"),
        (["iris", "in.csv.gz", "out.csv"], 5, "can't be read to its end"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_every_failure_has_its_exit_code_and_one_line_that_says_what_to_do(
    place: Place, tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    for name in ("in.csv", "in.parquet", "in.jsonl", "in.csv.gz", "other.csv"):
        (tmp_path / name).write_text(text_of(2))
    _rides(tmp_path, 3).rename(tmp_path / "r.csv")
    (tmp_path / "folder").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("precious")
    message = place.fails_here(*arguments, code=code, cwd=tmp_path)
    assert told in message, message
    assert (tmp_path / "full" / "precious.txt").read_text() == "precious"
    assert (tmp_path / "in.csv").read_text() == text_of(2)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["in.csv", "out.csv"], 5, "Columns found: a, b."),
        (["in.csv", "out.csv", "--encoding", "klingon"], 2, "there is no encoding 'klingon'"),
        (["nowhere.csv", "out.csv"], 4, "There is no file at nowhere.csv"),
    ],
)
def test_a_process_ends_as_the_command_does(
    place: Place, tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    message = place.fails("iris", *arguments, code=code, cwd=tmp_path)
    assert told in message
    assert message == place.fails_here("iris", *arguments, code=code, cwd=tmp_path)


def test_several_files_are_all_checked_before_the_first_row(place: Place, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(text_of(3))
    (tmp_path / "in" / "b.csv").write_text("x,y\n")
    told = place.fails("iris", tmp_path / "in", tmp_path / "out.csv", code=5)
    assert "b.csv: Missing for iris" in told
    assert left_over(tmp_path) == []


def test_progress_is_told_as_lines_of_json(place: Place, tmp_path: Path) -> None:
    frame_of(random_irises(100_000)).write_csv(tmp_path / "in.csv")
    told = place.with_settings(bulk_memory="64MiB").score(
        "iris", tmp_path / "in.csv", tmp_path / "out.csv", "--log-format", "json"
    )
    *progress, done = map(json.loads, told.stdout.splitlines())
    assert {line["event"] for line in progress} == {"progress"}
    assert progress[-1]["scored"] == 100_000
    assert progress[-1]["done_bytes"] == progress[-1]["total_bytes"] == (tmp_path / "in.csv").stat().st_size
    assert done.pop("event") == "done"
    assert done == manifest_of(tmp_path / "out.csv")


def test_a_summary_is_told_at_the_end_whatever_the_names_have_in_them(place: Place, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        f"{HEADER.replace('SepalWidthCm', 'sepal width (cm)')}\n" + f"{ROW}\nx,1,1,1\n"
    )
    output = tmp_path / "out[red].csv"
    told = place.score("iris", tmp_path / "in.csv", output, "--max-rejected", "1").stdout
    assert "rows rejected" in told
    assert "SepalLengthCm not a number" in told
    assert f"The rejected rows are in {output}.rejected.csv" in told


def test_the_manifest_says_all_that_is_needed_to_do_it_again(place: Place, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(text_of(5))
    place.score("iris", tmp_path / "in.csv", tmp_path / "out.csv", "--proba")
    told = manifest_of(tmp_path / "out.csv")
    assert told["model"] == "iris"
    assert told["version"] == "log_reg_1"
    assert len(told["artefact_sha256"]) == 64
    assert told["job"]["proba"] is True
    (source,) = told["input"]
    assert source["path"] == str(tmp_path / "in.csv")
    assert source["bytes"] == (tmp_path / "in.csv").stat().st_size
    assert len(source["digest"]) == 64
    assert set(told["libraries"]) == {"python", "sepal", "numpy", "polars", "pyarrow", "scikit-learn"}
    assert told["seconds"] >= 0
    assert told["rows_per_second"] > 0


def test_an_output_can_be_scored_again_with_everything_kept(place: Place, tmp_path: Path) -> None:
    frame_of(random_irises(100)).write_csv(tmp_path / "in.csv")
    place.score("iris", tmp_path / "in.csv", tmp_path / "a.csv", "--keep", "all", "--proba")
    place.score("iris", tmp_path / "a.csv", tmp_path / "b.csv", "--keep", "all", "--proba")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
