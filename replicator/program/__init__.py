"""A link compiled to SQL for one flow: project, compare, resolve, write.

`compile.py` is the entry. The live stream, and later backfill, reconcile and mapping tests,
run the same `Program`; nothing else projects, compares or decides.
"""
