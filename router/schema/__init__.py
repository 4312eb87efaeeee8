"""What requests may say and replies do say, as classes: bodies are checked by them, documents made of them."""
