"""The only caches of the app. They know artifacts and the package, no page and no widget."""
