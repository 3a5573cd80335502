"""Which number, taken before anyone trains, predicts what training on a set of negatives gives?

See docs/explanation/study.md.
"""
