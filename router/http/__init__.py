"""What HTTP asks for, whatever the request is about."""
