"""The transfer as a SavedModel."""
