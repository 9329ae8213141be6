"""The engine: the one path that every source takes, from reading to writing. Start with `engine`."""
