"""Step 3, the run: folds fitted, predictions and models written."""
