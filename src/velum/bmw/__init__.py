"""What the BMW anonymization and inference APIs left behind: their model folders."""
