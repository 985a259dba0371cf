"""Item tables, the fusion of views, and the recommender that composes them with an encoder."""
