"""Every picture: arrays in, matplotlib figure out."""
