"""The Lab page: new products, edited texts, texts to repair."""
