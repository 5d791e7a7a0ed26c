"""Everything stored: its name, its fingerprint, and byte-stable writers and readers of each format.

An artifact is one object, written once, and holds nothing of the run that made it. The same content gives the same
bytes in any process.
"""
