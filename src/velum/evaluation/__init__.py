"""How much of what people have labelled is found and hidden, by size, with what the sample can tell of it."""
