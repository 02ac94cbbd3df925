"""Many runs of a cell: its settings varied, its seeds drawn."""
