"""What the whole service shares."""
