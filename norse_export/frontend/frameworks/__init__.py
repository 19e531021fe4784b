"""One table per framework: which of its modules there are, and which node each stands for."""
