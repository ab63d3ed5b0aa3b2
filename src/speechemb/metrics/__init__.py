"""Pure functions of class indices, confusion matrices and probabilities; they import numpy and scipy only."""
