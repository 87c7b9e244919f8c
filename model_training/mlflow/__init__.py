"""From MLflow's models to versions, and from trainings to MLflow; the only part that knows MLflow."""
