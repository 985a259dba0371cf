"""Embeddings: two maps of the same items."""
