"""What a run says of its result: numbers, tables, warnings."""
