"""What can be wrong with a training file, a check per file, and the same file without it."""
