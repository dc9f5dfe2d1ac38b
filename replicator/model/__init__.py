"""The vocabulary: plain frozen data with no behaviour beyond its own arithmetic. Imports nothing above it."""
