"""What the pipeline asks of a database engine. Small on purpose: an engine is one class for each of these.

Contracts are in the docstrings: what may be repeated, what blocks, when a position may advance.
"""
