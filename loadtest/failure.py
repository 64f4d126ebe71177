"""What ends a load test."""


class LoadTestError(Exception):
    """Something that the user has to know and can mend. Its message is all that is shown."""
