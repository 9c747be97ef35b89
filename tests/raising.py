"""Stand-ins that fail. Throwing into an unstarted generator, which is shorter, crashes Python 3.12.1 in its collector."""


def raising(error):
    """A function of any arguments that raises the error."""

    def fail(*arguments, **options):
        raise error

    return fail
