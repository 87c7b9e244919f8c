"""Airflow: each night retrain, judge, promote, score the day's file, and build the image of the day.

Each step is a command of `sepal`, so a step that is run again does no harm: a version that
does not pass its gate leaves the champion, and a bulk run goes on where it stood. All dates
are those of the run's data interval, never of the clock.
"""

from datetime import datetime, timedelta

from airflow.models.param import Param
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag, task_group

CHECKOUT = "{{ var.value.get('sepal_checkout', '/opt/sepal') }}"
DAY = "{{ data_interval_start | ds }}"
GATE_HELD_IT_BACK = 8
"""`sepal train --promote` ends with it: the new version is registered, and the champion goes on."""


@dag(
    schedule="30 1 * * *",
    start_date=datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={
        "models": Param(["iris"], type="array", description="Models to train and to score."),
        "input": Param("data/in/{model}-{day}.csv", type="string", description="File to score."),
        "output": Param("data/out/{model}-{day}.csv", type="string", description="Where its scores go."),
    },
    tags=["sepal"],
    doc_md=__doc__,
)
def sepal_nightly() -> None:
    """The steps in their order."""
    environment = {
        "SEPAL_NIGHTLY_MODELS": "{{ params.models | join(' ') }}",
        "SEPAL_NIGHTLY_INPUT": "{{ params.input }}",
        "SEPAL_NIGHTLY_OUTPUT": "{{ params.output }}",
        "DAY": DAY,
    }

    def step(name: str, command: str) -> BashOperator:
        return BashOperator(
            task_id=name, bash_command=command, cwd=CHECKOUT, env=environment, append_env=True
        )

    @task_group
    def versions() -> None:
        """Retrain; the gate judges it, and what passes is promoted, in one command."""
        step(
            "train_judge_promote",
            "for model in $SEPAL_NIGHTLY_MODELS; do status=0; "
            '.venv/bin/sepal train "$model" --promote || status=$?; '
            f'[ "$status" -eq 0 ] || [ "$status" -eq {GATE_HELD_IT_BACK} ] || exit "$status"; done',
        )

    score = step(
        "score",
        "for model in $SEPAL_NIGHTLY_MODELS; do "
        'place() { path=${1//\\{model\\}/$model}; echo "${path//\\{day\\}/$DAY}"; }; '
        'to=$(place "$SEPAL_NIGHTLY_OUTPUT"); mkdir -p "$(dirname "$to")"; '
        '.venv/bin/sepal score "$model" "$(place "$SEPAL_NIGHTLY_INPUT")" "$to" --log-format json; done',
    )
    image = step("image", 'make bento-image IMAGE_TAG="$DAY"')
    versions() >> score >> image


sepal_nightly()
