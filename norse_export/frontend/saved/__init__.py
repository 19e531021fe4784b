"""Files of torch.save, read without running anything that is in them; and the modules built from what they hold."""
