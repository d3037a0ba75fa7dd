"""Services of others that this service calls."""
