"""How each model is trained, one file a model."""
