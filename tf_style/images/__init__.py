"""Pictures: in memory, from files and to files."""
