"""Datasets: in, and looked at."""
