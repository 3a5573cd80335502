"""The one way through: read, generate, merge, score, filter, select, evaluate, export."""
