"""What looks at finished files and says, with evidence, what was done to them."""
