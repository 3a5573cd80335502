"""Readers: each reads one format of queries, positives and corpus."""
