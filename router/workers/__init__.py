"""The workers, what they serve, and which of them takes a request."""
