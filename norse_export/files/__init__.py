"""Everything that touches the file system: checked opening, kinds, limits, atomic writing, the limited child process.

Nothing is imported here, so that a caller loads only the part that it names.
"""
