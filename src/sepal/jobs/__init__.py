"""Jobs of bulk scoring: taken on by the gateway, kept in a durable queue, run by workers."""
