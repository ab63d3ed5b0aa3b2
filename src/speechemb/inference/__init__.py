"""Recordings to emotions, for predict.py: a trained model with its encoders, what it is given, and what it writes."""
