"""Functions and operators on traced tensors: one rule for each name."""
