"""What runs have come to, read from the journals of their peers."""
