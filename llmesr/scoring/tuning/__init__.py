"""Choosing a scoring policy on validation: search over a grid and fitted weights, its outcome and its effect."""
