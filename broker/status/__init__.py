"""How a running cell is doing."""
