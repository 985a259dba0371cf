"""Overview: the first minute."""
