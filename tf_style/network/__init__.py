"""VGG-19: its architecture, its weights, and the layers that evaluate it."""
