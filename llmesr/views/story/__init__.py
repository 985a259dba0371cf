"""Story: a guided walk."""
