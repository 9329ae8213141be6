"""velum as one of the BMW inference APIs: any local model, served the way that variant would."""
