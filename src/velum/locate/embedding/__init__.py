"""Embeddings of faces: vectors whose distance says whether two faces are of one person."""
