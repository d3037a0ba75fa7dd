"""JSON Web Token authentication for FastAPI, per application and without globals."""
