"""The one path that every source takes: read, locate, hide, write."""
