"""What answers under each path."""
