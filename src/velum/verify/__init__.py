"""What looks at finished files as a stranger would, and says with evidence what was done to them."""
