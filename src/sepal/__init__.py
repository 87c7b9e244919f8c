"""Sepal serves scikit-learn models from two tiers: a gateway and a model server."""
