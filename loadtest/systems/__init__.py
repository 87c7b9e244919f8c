"""What the benchmark measures: one small application a system, as its own documentation builds it."""
