"""Step 2, the run: from the clips of step 1 to one npz."""
