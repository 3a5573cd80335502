"""Text files read line by line, and files written whole or not at all."""
