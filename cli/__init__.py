"""The command line: one command a file, and `output` the only module that prints.

Imports within are relative, for the folder is installed under another name (`replicator_cli`).
"""
