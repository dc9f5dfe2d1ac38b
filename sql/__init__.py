"""SQL that people maintain, shipped as data."""
