"""Results, and how they are shown: text for people, JSON for programs."""
