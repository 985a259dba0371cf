"""What every page uses. Imports no page's room."""
