"""What is decorated stays what it was, under each decorator."""
