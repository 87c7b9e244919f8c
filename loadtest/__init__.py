"""Load tests: the benchmark that holds Sepal against its peers."""
