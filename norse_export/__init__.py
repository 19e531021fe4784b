"""Takes trained torch spiking networks to neuromorphic formats and chips, with proof."""
