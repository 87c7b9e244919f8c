"""The tier that faces the world: validates rows, forwards them, and says what went wrong."""
