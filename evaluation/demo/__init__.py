"""A small model of our own, to try the server without a GPU or a download."""
