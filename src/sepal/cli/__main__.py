"""`python -m sepal.cli`: the `sepal` command, also as the file that spark-submit runs."""

from sepal.cli import main

main()
