"""One transfer: its settings, its inputs, and the run from coarse to fine."""
