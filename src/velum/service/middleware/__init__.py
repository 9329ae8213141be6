"""What every request goes through before its endpoint, outermost first: observation, limits, origins."""
