"""Measures how often attackers identify a hidden face."""
