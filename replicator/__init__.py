"""Keeps two databases with different schemas in step, row by row, both ways.

A stranger should read `pipeline.py` first: it is the way of a change from one database
to the other, in order. `ARCHITECTURE.md` beside this file draws the map.
"""
