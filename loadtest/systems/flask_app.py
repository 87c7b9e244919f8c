"""Flask and scikit-learn, for gunicorn."""

from flask import Flask, jsonify, request

from loadtest.systems.model import LABELS, fit

app = Flask(__name__)
model = fit()


@app.post("/predict")
def predict():  # noqa: ANN201 (Flask is not installed where types are checked)
    """The labels of rows: `{"rows": [[5, 2, 3, 4]]}`."""
    return jsonify({"output": [LABELS[index] for index in model.predict(request.get_json()["rows"])]})
