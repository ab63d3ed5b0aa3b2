"""The files that pass between the steps: for each its columns or arrays, provenance, reader and writer."""
