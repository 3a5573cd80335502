"""What is worth keeping beyond a job: folders made once, and numbers by content."""
