"""What may stand in a config, and what is wrong with one."""
