# Needs Python 3.11 to 3.13 and make. `make serve` and `make test` set up all the rest.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: serve test test-slow faults train bento bento-image gateway-image verify-images lint bench bench-bulk clean

serve: .venv/.serve ## both tiers, with a champion trained for each model that has none
	@exec $(BIN)/sepal serve --train-missing

# What only slow tests run is left out of the coverage.
NOT_COVERED := src/sepal/bulk/spark/*,model_training/mlflow/*,src/sepal/model_server/shadow.py

test: .venv/.develop ## the test suite without its slow part, with coverage
	$(BIN)/pytest --numprocesses 3 --no-loadscope-reorder -m "not slow" --cov --cov-report=
	@$(BIN)/coverage report --fail-under=90 --omit='$(NOT_COVERED)'
	@$(BIN)/coverage report --fail-under=100 --include='src/sepal/gateway/*,src/sepal/contracts/*' > /dev/null || { echo "Gateway or contracts are not wholly covered."; exit 1; }

test-slow: .venv/.develop ## the tests that take minutes: kills, Spark, MLflow, jobs, swaps, trials
	$(BIN)/pytest --numprocesses 2 -m slow

faults: .venv/.develop ## what is promised when clients, load or the model server misbehave: 40 minutes; FAULTS="killed --short"
	PYTHONPATH=src:. $(BIN)/python -m tests.faults $(FAULTS)

train: .venv/.serve ## new versions of the models that the project ships
	$(BIN)/sepal train iris
	$(BIN)/sepal train ride_duration

# What the bento's image installs. Without bulk scoring it is smaller by a third: BENTO_EXTRAS=server
BENTO_EXTRAS ?= server bulk otel postgres redis
IMAGE_TAG ?= local

bento: .venv/.serve ## a bento of the champions, each version pinned, in dist/sepal.bento; its tag is the last line
	@mkdir -p dist
	@.poetry/bin/poetry export --quiet --extras "$(BENTO_EXTRAS)" --output .venv/requirements.txt
	@$(BIN)/sepal bento --requirements .venv/requirements.txt --export dist/sepal.bento

bento-image: bento ## the bento's image, sepal-model-server:IMAGE_TAG, as `bentoml containerize` makes it
	docker build --file env/docker/Dockerfile --tag sepal-model-server:$(IMAGE_TAG) - < dist/sepal.bento

gateway-image: ## the gateway's image, sepal-gateway:IMAGE_TAG
	docker build --file Dockerfile.fastapi --tag sepal-gateway:$(IMAGE_TAG) .

verify-images: .venv/.serve ## builds both images without a daemon, and starts them: deploy/verify_images.sh
	deploy/verify_images.sh

lint: .venv/.develop ## format, lint, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.develop ## Sepal against its peers; BENCH=--quick takes under 3 minutes
	$(BIN)/python loadtest/benchmark.py $(BENCH)

bench-bulk: .venv/.develop ## bulk scoring against its peers; BENCH="--rounds 1" is quicker
	$(BIN)/python loadtest/bulk_benchmark.py $(BENCH)

clean: ## all that was generated, trained versions and jobs included; keys, and what nightly runs wrote, stay
	rm -rf .venv .poetry .bench dist htmlcov .coverage* .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache data/database.sqlite* data/bentoml data/bulk data/jobs data/jobs.sqlite* loadtest/results

# Poetry lives in a place of its own and reads the lock; pip installs what it
# says, hashes checked, through whatever index and certificates pip is set up for.
.poetry/.installed:
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit(f"Sepal needs Python 3.11 to 3.13, $(PYTHON) is {sys.version.split()[0]}: try make PYTHON=python3.12")'
	$(PYTHON) -m venv .poetry
	.poetry/bin/pip install --quiet poetry==2.5.1 poetry-plugin-export==1.10.1
	touch $@

.venv/.serve: poetry.lock | .poetry/.installed
	$(PYTHON) -m venv --clear .venv
	.poetry/bin/poetry export --quiet --extras all --output .venv/serve.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes --requirement .venv/serve.txt
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

.venv/.develop: .venv/.serve
	.poetry/bin/poetry export --quiet --extras "all client mlflow onnx otel postgres redis skops spark" --with dev --output .venv/develop.txt
	$(BIN)/pip install --quiet --no-deps --require-hashes --requirement .venv/develop.txt
	touch $@
