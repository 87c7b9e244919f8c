"""The wire formats of others: each module parses, has the same rows scored, and formats."""
