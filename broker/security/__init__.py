"""Who belongs to a cell, what each may say, and what is turned away."""
