"""Neighbours: one user, everything known of the case."""
