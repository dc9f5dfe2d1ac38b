"""Shipped mappings, as data."""
