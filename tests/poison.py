"""A job by which a process dies. By itself, that a process that gets it need not import TensorFlow."""

import os
import time


def die_of_poison(job):
    """Stands for a job: a process that meets poison dies as if of a decoder's bug, or of memory."""
    if "poison" in job.content:
        os._exit(9)
    time.sleep(0.3)  # So that others are under way then.
    return {"output": job.output, "status": "made"}
