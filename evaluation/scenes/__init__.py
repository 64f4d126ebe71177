"""Scenes with questions about them: what the demo model is trained on and measured with."""
