"""Compare: who serves whom better."""
