"""Localizers: what turns frames into regions."""
