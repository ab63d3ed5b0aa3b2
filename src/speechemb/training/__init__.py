"""Step 3, the run: choose, tune and fit inside each fold; write predictions and models."""
