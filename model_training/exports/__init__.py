"""Versions taken out: as pickles, skops files and ONNX graphs, each proven to answer as the version."""
