"""peercell: peer-to-peer energy trading and grid control as real networked processes."""

__version__ = "0.1.0"
