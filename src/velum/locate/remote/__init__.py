"""Localizers on other machines."""
