"""The sample schemas of the demo."""
