"""Bulk scoring on a cluster: Spark hands out spans of files, and Sepal's own readers and scorer do them."""
