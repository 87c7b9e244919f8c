"""Where protocols ask whether all is well; probes have no key."""

PROTOCOL_PROBES = frozenset({"/health", "/ping", "/v2/health/live", "/v2/health/ready"})
