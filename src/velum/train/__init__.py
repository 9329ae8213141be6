"""Training of small networks for a label of the user's own: from checked labels to a model in the user's catalogue."""
