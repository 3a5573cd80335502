"""Engines: how stages are mapped over shards."""
