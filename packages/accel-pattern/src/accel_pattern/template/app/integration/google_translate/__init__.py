"""Google Translate."""
