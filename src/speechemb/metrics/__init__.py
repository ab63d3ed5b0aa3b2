"""Pure functions of labels, confusion matrices and probabilities; they import numpy and scipy only."""
