"""The loop, its batches and checkpoints. It knows no method by name."""
