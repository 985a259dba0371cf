"""The only caches of the app. Imports no widgets."""
