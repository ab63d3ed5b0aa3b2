"""Step 4: from predictions to figures, as numbers and tables."""
