"""The compiled loops of the integer engine. Each kernel does one node's share of one step; `compile.py` binds them.

A kernel is a plain function of `t` (step), `sample`, then whole numbers (sizes, and addresses of arrays that the
caller keeps alive), then element types. Every address is one that this package has made; none comes from a file.
"""
