"""Filters: each refuses candidates for one kind of reason."""
