"""What bench/run.py measures, by topic: each module lists its parts in PARTS.

Standard library only. A child's peak memory counts what its parent held at the fork, so the process that measures stays small; all
that needs NumPy or a framework is a child of its own.
"""
