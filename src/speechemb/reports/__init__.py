"""Step 4: the texts and files that it writes."""
