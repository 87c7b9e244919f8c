"""A run: whatever happens to one chunk, none is left out and none is there twice."""

from pathlib import Path

import polars as pl
import pytest

from sepal.bulk import run as bulk_run
from sepal.bulk.job import Job
from sepal.bulk.rows import Chunk
from sepal.bulk.run import run
from sepal.bulk.scoring import Scorer
from sepal.contracts.iris import contract as iris
from sepal.errors import NotFoundError, ResumeError, StoppedError
from sepal.registry import Registry, lifecycle
from sepal.scoring.proof import random_rows
from sepal.settings import Settings
from tests.drafts import draft_of, small_pipeline
from tests.waiting import comes


def test_a_chunk_after_one_that_failed_is_not_done_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path / "data", bulk_memory=2**26, bulk_workers=2)
    with Registry.open(settings) as registry:
        registry.register(draft_of(small_pipeline()))
    names = [column.name for column in iris.columns]
    pl.DataFrame(random_rows(iris, 60_000), schema=names).write_csv(tmp_path / "in.csv")
    undisturbed, job = (
        Job(model="iris", input=str(tmp_path / "in.csv"), output=str(tmp_path / name))
        for name in ("undisturbed.csv", "out.csv")
    )
    assert run(undisturbed, iris, settings)["rows"]["scored"] == 60_000

    process, seen, done = bulk_run._Run._process, list[Chunk](), list[Chunk]()

    def fail_the_third(
        self: bulk_run._Run, chunk: Chunk, scorer: Scorer, left: int | None, *, first: bool
    ) -> bulk_run._Outcome:
        seen.append(chunk)
        if len(seen) == 3:
            assert comes(lambda: len(done) > 2)  # those after it are ready before it fails
            raise RuntimeError("the third")
        outcome = process(self, chunk, scorer, left, first=first)
        done.append(chunk)
        return outcome

    with monkeypatch.context() as patched:
        patched.setattr(bulk_run._Run, "_process", fail_the_third)
        with pytest.raises(RuntimeError, match="the third"):
            run(job, iris, settings)
    assert len(seen) > 3
    resumed = run(job, iris, settings)
    assert resumed["rows"]["scored"] == 60_000
    assert 0 < resumed["resumed_rows"] < 60_000
    assert Path(job.output).read_bytes() == Path(undisturbed.output).read_bytes()


def test_a_run_whose_version_was_removed_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", bulk_memory=2**26)
    with Registry.open(settings) as registry:
        for _ in range(3):
            version = registry.register(draft_of(small_pipeline()))
            lifecycle.promote(registry, "iris", version.name, "test", bool)
        names = [column.name for column in iris.columns]
        pl.DataFrame(random_rows(iris, 1000), schema=names).write_csv(tmp_path / "in.csv")
        job = Job(model="iris", input=str(tmp_path / "in.csv"), output=str(tmp_path / "out.csv"))

        def stop(_: object) -> None:
            raise StoppedError("stopped")

        first = job.model_copy(update={"version": "log_reg_1"})
        with pytest.raises(StoppedError):
            run(first, iris, settings, watch=stop)
        lifecycle.prune(registry, ["iris"], 1, "test")
    with pytest.raises(ResumeError, match=r"begun with log_reg_1 of iris.*Begin again with --restart"):
        run(job, iris, settings)
    with pytest.raises(NotFoundError, match="no version 'log_reg_1'"):
        run(first, iris, settings)
    assert run(job, iris, settings, restart=True)["version"] == "log_reg_3"
