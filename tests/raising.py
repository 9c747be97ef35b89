"""Stand-ins that fail. Throwing into an unstarted generator would be shorter, but crashes Python 3.12.1."""


def raising(error):
    """A function of any arguments that raises the error."""

    def fail(*arguments, **options):
        raise error

    return fail
