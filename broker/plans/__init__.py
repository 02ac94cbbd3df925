"""From a config to the peers of a cell: what each must be told, and whom it talks to."""
