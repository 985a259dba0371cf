"""Item tables, the fusion of views, and the sequence model that composes them with an encoder."""
