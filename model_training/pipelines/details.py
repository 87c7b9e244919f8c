"""The names in a version's details of what training found; apart, since showing it needs no pandas."""

GATE = "gate"
"""The gate's verdict: what it was compared with, its checks and notes."""

HELD_OUT = "held_out"
"""The SHA-256 of the rows that the version was tested on."""
