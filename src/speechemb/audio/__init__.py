"""Waveforms: decoding audio files, and augmented copies of clips."""
