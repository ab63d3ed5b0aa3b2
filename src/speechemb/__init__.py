"""Speech embeddings for emotion recognition: one module per concept, imported by the numbered scripts."""
