"""The first version of the HTTP interface."""
