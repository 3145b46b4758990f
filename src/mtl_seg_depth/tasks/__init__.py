"""What one task is: labels or codes, losses, scores; a folder for each."""
