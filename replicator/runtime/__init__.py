"""Puts the parts together: wiring, the daemon's loop, what to do about errors, status."""
