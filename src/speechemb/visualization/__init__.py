"""Every picture of the project: arrays in, matplotlib figures out; nothing is read or written here."""
