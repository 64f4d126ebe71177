"""A soak: mixed traffic for an hour or more, after which nothing may be lost, no answer changed and no memory grown."""
