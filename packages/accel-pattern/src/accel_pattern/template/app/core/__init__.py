"""What the whole service shares: settings, connections, security."""
