"""What this server says of itself: its OpenAPI document, and the pages for people that are made from it."""
