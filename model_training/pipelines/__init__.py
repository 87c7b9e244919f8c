"""What happens to every recipe: train, evaluate, report."""
