"""Tells what a training found: to a person at the terminal, and in an HTML file for each version."""

from model_training.pipelines.report.terminal import comparison, report, steps

__all__ = ["comparison", "report", "steps"]
