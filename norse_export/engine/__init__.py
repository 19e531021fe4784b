"""Execution of graphs in arrays."""
