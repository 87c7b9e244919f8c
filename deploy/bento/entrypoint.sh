#!/bin/sh
# Nothing or `serve`: the model server. All else is a command of sepal's, such as `score`.
set -eu
if [ "$#" -eq 0 ] || [ "$1" = serve ]; then
    exec python -m sepal.model_server
fi
exec python -m sepal.cli "$@"
