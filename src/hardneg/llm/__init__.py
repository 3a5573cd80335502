"""Asking language models: clients, questions whose answers have a shape, the log of answers, the budget."""
