#!/usr/bin/env bash
# Builds both images without a daemon, starts them as nobody with a read-only root, and holds them to what
# they promise: healthy, right answers through both, bulk scoring, a clean stop. Prints sizes and times.
#   deploy/verify_images.sh          needs root, buildah, and the environments that `make train` makes
#   BASE_IMAGE=…                     another base image; `debian` makes one by debootstrap, where none can be pulled
#   PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_CERT   are handed to pip in the builds
#   BUILD_VOLUMES="/a:/a:ro /b:/b:ro"              folders that the builds need, such as one with certificates
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

skip() { echo "SKIPPED: $*" && exit 77; }
fail() { echo "FAILED: $*" >&2 && exit 1; }
say() { printf '%s  %s\n' "$(date --utc +%H:%M:%S)" "$*"; }

command -v buildah > /dev/null || skip "buildah is not installed (apt-get install buildah)"
[ "$(id -u)" -eq 0 ] || skip "buildah's chroot isolation needs root"
bin=${BIN:-.venv/bin} poetry=${POETRY:-.poetry/bin/poetry}
{ [ -x "$bin/sepal" ] && [ -x "$poetry" ]; } || skip "there is no .venv and .poetry: run make train first"

work=$(mktemp -d)
cat > "$work/storage.conf" <<CONF
[storage]
driver = "vfs"
graphroot = "$work/images"
runroot = "$work/run"
CONF
export CONTAINERS_STORAGE_CONF="$work/storage.conf" BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker
finish() {
    for pid in ${model_server:-} ${gateway:-}; do kill -KILL "$pid" 2> /dev/null || true; done
    buildah rm --all > /dev/null 2>&1 || true
    rm -rf "$work" || true
}
trap finish EXIT

base=${BASE_IMAGE:-python:3.11-slim}
if [ "$base" = debian ]; then
    command -v debootstrap > /dev/null || skip "debootstrap is not installed (apt-get install debootstrap)"
    say "Making a base image of Debian's Python by debootstrap"
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$work/root" \
        > "$work/debootstrap.log" || fail "debootstrap: $(tail -n 3 "$work/debootstrap.log")"
    rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
    ln -s /usr/bin/python3 "$work/root/usr/local/bin/python"
    container=$(buildah from scratch)
    buildah copy --quiet "$container" "$work/root" / > /dev/null
    base=localhost/python:3.11-slim
    buildah commit --quiet "$container" "$base" > /dev/null
    rm -rf "$work/root"
fi

options=(--build-arg "BASE_IMAGE=$base" --build-arg "REVISION=$(git rev-parse HEAD 2> /dev/null || echo unknown)")
options+=(--build-arg "VERSION=$("$bin/sepal" --version | cut -d' ' -f2)")
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_CERT; do
    [ -z "${!name:-}" ] || options+=(--build-arg "$name=${!name}")
done
for volume in ${BUILD_VOLUMES:-}; do options+=(--volume "$volume"); done


seconds() { # how long a command takes, its output kept for when it fails
    local begun=$SECONDS
    "$@" > "$work/build.log" 2>&1 || fail "$*: $(tail -n 5 "$work/build.log")"
    echo $((SECONDS - begun))
}

bytes() { # of all files of an image
    local container
    container=$(buildah from --pull-never "$1")
    du --summarize --bytes "$(buildah mount "$container")" | cut -f1
    buildah rm "$container" > /dev/null
}

say "Building the gateway's image"
took=$(seconds buildah bud "${options[@]}" ${EXTRAS:+--build-arg "EXTRAS=$EXTRAS"} \
    --file Dockerfile.fastapi --tag localhost/sepal-gateway .)
base_bytes=$(bytes "$base")
gateway_bytes=$(bytes localhost/sepal-gateway)
say "localhost/sepal-gateway: $((gateway_bytes / 10**6)) MB, of it $(((gateway_bytes - base_bytes) / 10**6)) MB ours; built in $took s"

export SEPAL_DATA_DIR="$work/data" BENTOML_HOME="$work/data/bentoml" BENTOML_DO_NOT_TRACK=True
mkdir "$work/data"
cp data/*.csv "$work/data"
say "Training champions, packing the bento"
for model in iris ride_duration; do "$bin/sepal" train "$model" > "$work/train.log" || fail "$(tail -n 3 "$work/train.log")"; done
"$poetry" export --quiet --extras "${BENTO_EXTRAS:-server bulk otel postgres redis}" --output "$work/requirements.txt"
tag=$("$bin/sepal" bento --requirements "$work/requirements.txt" | tail -n 1)

say "Building the image of the bento $tag"
opts=()
for ((i = 0; i < ${#options[@]}; i += 2)); do opts+=(--opt "${options[i]#--}=${options[i + 1]}"); done
bentoml=$(cd "$bin" && pwd)/bentoml
containerize() { # from a folder above the temporary ones, since BentoML reads its template nowhere else
    cd / && "$bentoml" containerize "$tag" --backend buildah --image-tag localhost/sepal-model-server "${opts[@]}"
    buildah images localhost/sepal-model-server
}
took=$(seconds containerize)
model_server_bytes=$(bytes localhost/sepal-model-server)
say "localhost/sepal-model-server: $((model_server_bytes / 10**6)) MB, of it $(((model_server_bytes - base_bytes) / 10**6)) MB ours; built in $took s"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
await() { # URL PID LOG
    for _ in $(seq 600); do
        curl --silent --fail --output /dev/null "$1" && return
        kill -0 "$2" 2> /dev/null || fail "it ended: $(tail -n 5 "$3")"
        sleep 0.1
    done
    fail "$1 does not answer: $(tail -n 5 "$3")"
}
healthy() { # IMAGE PID: its own HEALTHCHECK, inside
    local check
    readarray -d '' -t check < <(buildah inspect --type image "$1" | python3 -c '
import json, sys
for word in json.load(sys.stdin)["Docker"]["config"]["Healthcheck"]["Test"][1:]:
    sys.stdout.write(word + "\0")')
    readarray -d '' -t environment < "/proc/$2/environ"
    nsenter --target "$2" --mount --root env --ignore-environment "${environment[@]}" "${check[@]}" \
        || fail "the HEALTHCHECK of $1"
    say "$1: its HEALTHCHECK says healthy"
}
confined() { # IMAGE PID
    [ "$(stat --format %u "/proc/$2")" -eq 10001 ] || fail "$1 runs as $(stat --format %U "/proc/$2")"
    if touch "/proc/$2/root/data/x" "/proc/$2/root/x" 2> /dev/null; then fail "the root of $1 can be written"; fi
    say "$1: runs as user 10001 on a read-only root"
}
absent='import sys; from importlib.metadata import distributions as d
found = {x.name.lower() for x in d()} & set(sys.argv[1:]); sys.exit(f"found: {found}" if found else 0)'

port=$(free_port)
deploy/run_image.sh localhost/sepal-model-server SEPAL_MODEL_SERVER_PORT="$port" > "$work/model-server.log" 2>&1 &
model_server=$!
await "http://127.0.0.1:$port/startupz" "$model_server" "$work/model-server.log"
healthy localhost/sepal-model-server "$model_server"
confined localhost/sepal-model-server "$model_server"

gateway_port=$(free_port)
deploy/run_image.sh localhost/sepal-gateway SEPAL_GATEWAY_PORT="$gateway_port" \
    SEPAL_MODEL_SERVER_URL="http://127.0.0.1:$port" > "$work/gateway.log" 2>&1 &
gateway=$!
await "http://127.0.0.1:$gateway_port/readyz" "$gateway" "$work/gateway.log"
healthy localhost/sepal-gateway "$gateway"
confined localhost/sepal-gateway "$gateway"

answer=$(curl --silent --fail "http://127.0.0.1:$gateway_port/iris/predict" -H 'Content-Type: application/json' \
    -d '{"SepalLengthCm": 5,"SepalWidthCm": 2,"PetalLengthCm": 3,"PetalWidthCm": 4}')
[ "$answer" = '{"output":"Iris-virginica","model_name":"log_reg_1"}' ] || fail "the answer is $answer"
say "Through both: $answer"
for each in "gateway $gateway" "model-server $model_server"; do
    total=$(ps --no-headers -o rss --pid "${each#* }" --ppid "${each#* }" | awk '{sum += $1} END {print int(sum / 1000)}')
    say "sepal-${each% *}: $total MB of memory"
done

stopped() { # NAME PID: ends by itself after SIGTERM, by its own leave or by the signal it passed on
    local begun=$SECONDS status=0
    kill -TERM "$2"
    wait "$2" || status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 143 ] || fail "$1 ended with $status: $(tail -n 5 "$work/$1.log")"
    ! grep --quiet Traceback "$work/$1.log" || fail "$1: $(tail -n 20 "$work/$1.log")"
    say "$1: stopped by SIGTERM in $((SECONDS - begun)) s"
}
stopped gateway "$gateway"
gateway=
stopped model-server "$model_server"
model_server=

mkdir "$work/bulk"
cp data/Iris.csv "$work/bulk/in.csv"
chown -R 12345:12345 "$work/bulk"   # any user, so that it may be the one whose folder it is
RUN_AS=12345:12345 deploy/run_image.sh localhost/sepal-model-server "$work/bulk:/bulk" -- score iris /bulk/in.csv /bulk/out.csv > "$work/score.log" \
    || fail "bulk scoring: $(tail -n 5 "$work/score.log")"
"$bin/sepal" score iris data/Iris.csv "$work/expected.csv" > /dev/null
cmp "$work/bulk/out.csv" "$work/expected.csv" || fail "the image scores a file in another way"
say "sepal-model-server score: as outside, $(($(wc -l < "$work/bulk/out.csv") - 1)) rows"

deploy/run_image.sh localhost/sepal-gateway -- python -c "$absent" \
    scikit-learn pandas numpy bentoml sqlalchemy polars pyarrow pytest || fail "what is in sepal-gateway"
NO_ENTRYPOINT=1 deploy/run_image.sh localhost/sepal-model-server -- python -c "$absent" \
    fastapi fastapi-swagger pandas matplotlib alembic mlflow pyspark pytest ruff poetry || fail "what is in sepal-model-server"
say "Neither holds what is the other's, or training's"
echo VERIFIED
