"""The parts of `make bench-bulk`."""
