"""What ends an evaluation."""


class EvaluationError(Exception):
    """Something that the user has to know and can mend. Its message is all that is shown."""
