"""What is minimised: presets, the loss and its gradient, whole and by tiles."""
