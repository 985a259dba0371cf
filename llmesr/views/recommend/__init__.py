"""Recommend: lists side by side, live."""
