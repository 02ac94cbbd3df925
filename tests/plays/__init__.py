"""Plays: a conversation of a few roles as a text that a person reads and a test repeats."""
