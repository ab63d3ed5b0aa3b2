"""Step 4, the figures as numbers: what the predictions are worth."""
