"""Packs champions and the code that answers with them into a bento."""
