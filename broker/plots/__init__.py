"""Pictures in files; matplotlib (extra [plot]) is loaded when the first one is drawn."""
