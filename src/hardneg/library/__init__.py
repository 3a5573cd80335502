"""The front doors for other people's code: one call from pairs to a training set, and the filter as a stage."""
