"""The benchmark's arithmetic and tables, from canned numbers; it starts nothing."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtest.bench import render, wrk
from loadtest.bench.measure import Plan
from loadtest.bench.processes import Running, running
from loadtest.bench.questions import KNOWN, MANY, rows, write_bodies
from loadtest.bench.results import Point, Sample, Verdict, medians, verdicts
from loadtest.bench.soak import Look, Soak
from loadtest.bench.systems import PEERS, QUICK, ROOT, SYSTEMS, Place, environment_of

ONE_64, ONE_1, ONE_256, MANY_16 = Point(1, 64), Point(1, 1), Point(1, 256), Point(1000, 16)
SAMPLE = Sample(per_second=100, p50=2, p99=8, errors=0, cpu_per_1000=0.5, rss=200)
TITLES = {name: system.title for name, system in SYSTEMS.items()}

SAID = """Running 2s test @ http://127.0.0.1:8000/iris/predict
  1 threads and 16 connections
Requests/sec:    500.00

wrk-says {"requests": 1000, "microseconds": 2000000, "p50": 1500, "p99": 9000, \
"status_errors": 10, "socket_errors": 3}
"""


def test_what_wrk_says_becomes_seconds_and_milliseconds_and_its_errors_are_no_good_answers() -> None:
    load = wrk.parse(SAID)
    assert load == wrk.Load(requests=990, seconds=2.0, p50=1.5, p99=9.0, errors=13)
    assert load.per_second == 495


def test_wrk_that_gives_no_result_is_an_error_with_its_own_words() -> None:
    with pytest.raises(wrk.WrkError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused")


def test_a_load_of_no_time_has_no_rate() -> None:
    assert wrk.Load(0, 0.0, 0, 0, 0).per_second == 0


def test_a_missing_wrk_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(wrk.WrkError, match="apt-get install wrk"):
        wrk.require_wrk()


def test_wrk_is_told_one_thread_whole_seconds_and_the_pause_only_in_a_soak() -> None:
    command = wrk.command("http://127.0.0.1:1/", Path("body.json"), 256, 2.4)
    assert {"-t1", "-c256", "-d2s"} <= set(command)
    assert command[-1] == "body.json"
    assert wrk.command("http://127.0.0.1:1/", Path("body.json"), 1, 1, 20)[-2:] == ["body.json", "20"]


def test_medians_are_of_each_figure_and_errors_are_added_up() -> None:
    rounds = [
        replace(SAMPLE, per_second=rate, p99=p99, errors=1) for rate, p99 in [(90, 5), (300, 9), (100, 7)]
    ]
    found = medians({("sepal", ONE_64): rounds, ("bare", ONE_64): []})
    assert found == {("sepal", ONE_64): replace(SAMPLE, per_second=100, p99=7, errors=3)}


def _rates(**rates: float) -> dict[tuple[str, Point], Sample]:
    return {(name, ONE_64): replace(SAMPLE, per_second=rate) for name, rate in rates.items()}


def _rounds(found: dict[tuple[str, Point], Sample]) -> dict[tuple[str, Point], list[Sample]]:
    return {
        key: [sample, replace(sample, per_second=sample.per_second / 2)] for key, sample in found.items()
    }


def _reached(found: dict[tuple[str, Point], Sample]) -> dict[tuple[str, str], Verdict]:
    return {(v.against.partition(":")[0], v.what): v for v in verdicts(found, PEERS, TITLES)}


def test_sepal_is_held_against_the_best_peer_and_not_against_the_floors() -> None:
    verdict = _reached(_rates(sepal=7000, flask=1000, mlserver=900, bare=20_000))[
        ("the best peer", "requests/s")
    ]
    assert verdict.reached == 7
    assert verdict.passed
    assert "Flask" in verdict.against


def test_a_ratio_below_its_bound_fails_and_one_without_numbers_is_not_measured() -> None:
    found = _reached(_rates(sepal=7000, one_tier=1000))
    assert found["one tier", "requests/s"].passed is False
    assert found["plain two-tier", "requests/s"].passed is None
    assert found["one tier", "p50"].passed is None


def test_sepal_at_256_is_held_against_itself_at_64() -> None:
    found = _rates(sepal=1000) | {("sepal", ONE_256): replace(SAMPLE, per_second=1300, p99=40)}
    reached = _reached(found)
    assert reached["its own at 64", "requests/s"].reached == 1.3
    assert reached["its own at 64", "p99"].reached == 5
    assert reached["its own at 64", "p99"].passed is False


def test_large_requests_count_in_rows_a_second() -> None:
    found = _rates(sepal=1000) | {("sepal", MANY_16): replace(SAMPLE, per_second=30)}
    verdict = _reached(found)["its own one-row requests at 64", "rows/s"]
    assert verdict.reached == 30
    assert verdict.passed


def test_any_error_of_sepal_fails() -> None:
    found = {("sepal", ONE_64): replace(SAMPLE, errors=1)}
    assert _reached(found)["nothing", "errors"].passed is False


def test_the_markdown_lists_the_best_first_with_sepals_ratio_and_the_verdicts() -> None:
    found = _rates(sepal=8000, one_tier=1000, bare=16_000)
    text = render.markdown(found, TITLES, verdicts(found, PEERS, TITLES), _rounds(found))
    lines = text.splitlines()
    assert lines[0] == "### 1 row, concurrency 64"
    assert [line.split(" | ")[0] for line in lines[4:7]] == [
        "| bare uvicorn",
        "| Sepal",
        "| one tier: FastAPI + scikit-learn",
    ]
    assert lines[5].startswith("| Sepal | 8,000 | 4,000 to 8,000 | 2 | 8 |")
    assert lines[4].endswith("| 0.5× |")
    assert lines[6].endswith("| 8× |")
    assert "| 1 row, concurrency 64 | one tier | requests/s | ≥ 8× | 8× | pass |" in lines
    assert "not measured" in text


def test_every_line_of_a_markdown_table_has_as_many_cells_as_its_head() -> None:
    found = _rates(sepal=8000) | {("sepal", MANY_16): SAMPLE}
    text = render.markdown(found, TITLES, verdicts(found, PEERS, TITLES), _rounds(found))
    for table in text.split("\n\n"):
        counts = {line.count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(counts) <= 1


def test_the_csv_files_hold_medians_and_every_round() -> None:
    samples = {("sepal", ONE_64): [SAMPLE, replace(SAMPLE, per_second=300)]}
    [median] = csv.DictReader(io.StringIO(render.table_csv(medians(samples))))
    assert (median["system"], median["concurrency"], median["requests_per_second"]) == (
        "sepal",
        "64",
        "200.0",
    )
    rounds = list(csv.DictReader(io.StringIO(render.samples_csv(samples))))
    assert [line["round"] for line in rounds] == ["1", "2"]


def test_the_plot_is_well_formed_and_has_a_bar_for_each_number() -> None:
    found = _rates(sepal=8000, one_tier=1000) | {("sepal", ONE_1): SAMPLE, ("sepal", MANY_16): SAMPLE}
    tree = ElementTree.fromstring(render.plot(found, TITLES))  # noqa: S314 (made here)
    assert len(tree.findall("{http://www.w3.org/2000/svg}rect")) == 1 + 3


def test_growth_in_a_soak_leaves_out_the_first_tenth() -> None:
    looks = [Look(second, 500 if second < 10 else 600, 40) for second in range(99)] + [Look(99, 606, 43)]
    load = wrk.parse(SAID)
    assert Soak(500, load, looks).growth() == (0, 0)
    assert Soak(500, load, looks[:10] + looks[-1:]).growth() == (106, 3)


def test_every_system_reads_its_own_answers_and_bodies_hold_one_row_and_a_thousand(tmp_path: Path) -> None:
    sepal, mlserver = SYSTEMS["sepal"], SYSTEMS["mlserver"]
    assert sepal.answers({"output": "Iris-virginica", "model_name": "log_reg_1"}) == [2]
    assert sepal.answers([{"output": "Iris-setosa"}, {"output": "Iris-versicolor"}]) == [0, 1]
    assert mlserver.answers({"outputs": [{"data": [2, 0]}]}) == [2, 0]
    assert SYSTEMS["mlflow"].answers({"predictions": [2]}) == [2]
    assert SYSTEMS["flask"].answers({"output": ["Iris-virginica"]}) == [2]
    assert SYSTEMS["bentoml"].answers([1]) == [1]
    files = write_bodies(sepal, tmp_path)
    assert json.loads(files[1].read_text())["PetalWidthCm"] == 4
    assert len(json.loads(files[MANY].read_text())) == MANY


def test_the_known_rows_repeat_and_cover_all_labels() -> None:
    assert rows(len(KNOWN) + 1)[-1] == KNOWN[0][0]
    assert {label for _, label in KNOWN} == {0, 1, 2}


def test_no_setting_of_sepal_reaches_a_system_but_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEPAL_MAX_ROWS", "1")
    place = Place(Path("/venv/bin/python"), tmp_path, (1, 2, 3))
    environment = environment_of(SYSTEMS["sepal_off"], place)
    assert "SEPAL_MAX_ROWS" not in environment
    assert environment["SEPAL_COALESCE"] == "off"
    assert "SEPAL_COALESCE" not in environment_of(SYSTEMS["sepal"], place)


def test_points_come_in_another_order_each_round_and_the_same_for_every_system() -> None:
    plan = Plan((), tuple(Point(1, concurrency) for concurrency in range(8)), rounds=3, seconds=1)
    assert plan.order(1) == plan.order(1)
    assert plan.order(1) != plan.order(2)
    assert sorted(plan.order(2)) == sorted(plan.points)


def test_the_quick_form_and_the_requirements_name_what_exists() -> None:
    assert set(QUICK) <= set(SYSTEMS)
    for system in SYSTEMS.values():
        if system.requirements:
            assert (ROOT / "loadtest" / "systems" / f"{system.requirements}.txt").is_file()


def test_a_stopped_system_leaves_no_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["sh", "-c", "sleep 60 & setsid sleep 60 & echo up; wait"]
    with running(command, {"PATH": "/usr/bin:/bin"}, tmp_path, log) as started:
        while "up" not in started.last_words():
            pass
        assert isinstance(started, Running)
        assert started.usage().processes >= 2
        processes = started.processes()
    assert not [process for process in processes if process.is_running() and process.status() != "zombie"]
