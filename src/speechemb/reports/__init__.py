"""What step 4 writes for people: texts and files."""
