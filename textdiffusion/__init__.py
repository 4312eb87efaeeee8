"""What the launcher, the router, the workers and the client share."""

__version__ = "0.1.0"
