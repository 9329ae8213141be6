"""Checks finished files for what is still visible, from their pixels and their metadata."""
