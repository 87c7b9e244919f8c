"""Bulk scoring: files of any size, each row once, in bounded memory."""
