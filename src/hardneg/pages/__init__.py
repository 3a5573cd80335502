"""Self-contained HTML pages: one file, no request, nothing in a text that the browser would run."""
