"""What Sepal promises when clients, load or the model server behave badly, tried on both tiers."""
