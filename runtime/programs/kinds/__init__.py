"""The arithmetic of each kind of kernel as instructions."""
