"""The only place that loads weights."""
