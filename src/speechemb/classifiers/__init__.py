"""Step 3, the estimators: how each is fitted, asked and kept."""
