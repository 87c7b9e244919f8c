"""Makes versions: reads data, checks it against the contract, fits, evaluates and registers."""
