"""Training of the demo model: first its tower alone, then projector and language model on the tower's features."""
