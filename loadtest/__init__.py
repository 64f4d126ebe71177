"""What a server does under load. Run from the repository; it is not installed."""
