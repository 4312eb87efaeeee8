"""What a client is sent for a request for text."""
