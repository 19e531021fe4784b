"""The reference machine: how many cycles a run takes on it, by event and by clock. See docs/reference_machine.md."""
