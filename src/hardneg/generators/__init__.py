"""Generators: each proposes negatives in its own way."""
