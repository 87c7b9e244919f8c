"""The Open Inference Protocol, version 2: https://github.com/kserve/open-inference-protocol."""
