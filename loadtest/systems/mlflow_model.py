"""Saves the model in MLflow's format, for `mlflow models serve`: `python -m … FOLDER`."""

import sys

import mlflow.sklearn

from loadtest.systems.model import fit

if __name__ == "__main__":
    mlflow.sklearn.save_model(
        fit(), sys.argv[1], pip_requirements=["mlflow", "scikit-learn"], serialization_format="cloudpickle"
    )
