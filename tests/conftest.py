"""What is no test of the workspace."""

# Its tests run in a copy.
collect_ignore = ["upstream_kit"]
