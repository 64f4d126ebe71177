"""What runs the server in production. Nothing imports it, and the wheel does not ship it."""
