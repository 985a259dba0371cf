"""Training: launch, watch, choose."""
