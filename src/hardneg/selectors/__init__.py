"""Selectors: each chooses the final negatives in its own way."""
