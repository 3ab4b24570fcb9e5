"""How a minimisation stands, or why it ended."""

import enum


class Status(enum.IntEnum):
    """How a minimisation stands or ended."""

    RUNNING = 0
    MAX_ITERATIONS = 1
    CONVERGED = 2
    LINE_SEARCH_FAILED = 3
    NON_FINITE = 4
    INTERRUPTED = 5

    @property
    def is_failure(self) -> bool:
        """Whether the numbers went wrong, rather than the minimisation having come to an end."""
        return self == Status.NON_FINITE

    @property
    def text(self) -> str:
        """The status in words."""
        return {
            Status.RUNNING: "still running",
            Status.MAX_ITERATIONS: "all the iterations asked for were made",
            Status.CONVERGED: "the gradient is zero or below the tolerance, or the loss is constant",
            Status.LINE_SEARCH_FAILED: "no step along the gradient lowers the loss any further",
            Status.NON_FINITE: "the loss or its gradient is not a finite number",
            Status.INTERRUPTED: "interrupted before the last iteration",
        }[self]
