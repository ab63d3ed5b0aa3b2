"""Which clips are trained on and which are tested on."""
