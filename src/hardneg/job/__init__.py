"""A job: its YAML document, the checks of it, and the folder that it runs in."""
