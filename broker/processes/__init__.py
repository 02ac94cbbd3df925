"""The processes of a cell on this machine: started, restarted, found again, ended."""
