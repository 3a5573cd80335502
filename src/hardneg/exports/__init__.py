"""Exports: each writes what one family of trainers reads."""
