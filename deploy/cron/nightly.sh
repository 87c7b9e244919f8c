#!/usr/bin/env bash
# One night: retrain, have the gate judge it, promote it if it passes, score the day's file, build the image
# of the day. For cron; docs/scheduling.md has the line. All that is dated has the day on which the run began.
#   deploy/cron/nightly.sh [train] [score] [image]     by default: train score
#   SEPAL_NIGHTLY_MODELS=iris       models, separated by blanks
#   SEPAL_NIGHTLY_INPUT=…           file to score; {model} and {day} stand for themselves
#   SEPAL_NIGHTLY_OUTPUT=…          where its scores go, likewise
#   SEPAL_NIGHTLY_LOGS=…            folder of the logs, one a day
#   SEPAL_NIGHTLY_KEEP=30           days for which logs are kept
# Exit codes: 0 all done; 75 another run is under way; else that of the step that failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

day=$(date +%F)     # once: after midnight this run is still that of the day it began
readonly day
bin=${BIN:-.venv/bin}
data=${SEPAL_DATA_DIR:-data}
models=${SEPAL_NIGHTLY_MODELS:-iris}
input=${SEPAL_NIGHTLY_INPUT:-$data/in/{model\}-{day\}.csv}
output=${SEPAL_NIGHTLY_OUTPUT:-$data/out/{model\}-{day\}.csv}
logs=${SEPAL_NIGHTLY_LOGS:-$data/logs}
steps=("$@")
[ "$#" -gt 0 ] || steps=(train score)

mkdir -p "$logs"
exec 9> "$logs/nightly.lock"
if ! flock --nonblock 9; then
    echo "Another nightly run is under way (it holds $logs/nightly.lock): this one ends." >&2
    exit 75
fi
exec >> "$logs/nightly-$day.log" 2>&1

say() { echo "$(date --utc +%FT%TZ) $*"; }
dated() { # a path for a model, on the day of this run
    local path=${1//\{model\}/$2}
    echo "${path//\{day\}/$day}"
}
ended() {
    local status=$?
    [ "$status" -eq 0 ] || say "The run of $day ended with code $status at: $doing"
}
doing="the start"
trap ended EXIT

train() { # a version that its gate does not let pass is no failure: the champion goes on
    local status=0
    "$bin/sepal" train "$1" --promote 9>&- || status=$?
    [ "$status" -ne 8 ] || say "The gate did not let the new version of $1 pass; its champion goes on."
    [ "$status" -eq 0 ] || [ "$status" -eq 8 ] || return "$status"
}
score() {
    local to
    to=$(dated "$output" "$1")
    mkdir -p "$(dirname "$to")"
    "$bin/sepal" score "$1" "$(dated "$input" "$1")" "$to" --log-format plain 9>&-
}
image() { make --no-print-directory bento-image IMAGE_TAG="$day" 9>&-; }

say "The run of $day: ${steps[*]}"
for step in "${steps[@]}"; do
    case $step in
        train | score)
            for model in $models; do
                doing="$step $model"
                say "$doing"
                "$step" "$model"
            done
            ;;
        image)
            doing=$step
            say "$doing $day"
            image
            ;;
        *) say "There is no step $step; there are train, score and image." && exit 2 ;;
    esac
done
find "$logs" -maxdepth 1 -name 'nightly-*.log' -mtime "+${SEPAL_NIGHTLY_KEEP:-30}" -delete
say "The run of $day is done."
