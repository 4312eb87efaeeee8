"""Text for a call, whoever makes it: nothing in here knows of HTTP."""
