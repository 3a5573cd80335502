"""Scorers: each says how relevant candidates are."""
