"""The tier that only scores: one BentoML service with a batchable API for each model."""
