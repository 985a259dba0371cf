"""A trained run opened for scoring: what a score is made of, its policy, re-ranking and lists."""
