"""What the processes tell of themselves: logs, metrics, traces. Both tiers and the worker use it."""
