"""Single problems without a cell around them: one market, one operating point."""
