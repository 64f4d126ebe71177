"""What the proof has to show."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loadtest.overload.course import Course

PERCENTILE = 90
"""The objective must hold for so many of a hundred requests."""
FIXED, ADAPTIVE = "fixed", "adaptive"


@dataclass(frozen=True, slots=True)
class Load:
    """What the servers are put through.

    Attributes:
        alone: seconds to the first token of an unpruned request that is alone; the median.
        capacity: unpruned requests a second that are answered when the next ones always wait.
        rate: requests a second that arrive.
        objective: seconds that a first token may take.
    """

    alone: float
    capacity: float
    rate: float
    objective: float


def first_token(course: Course, percentile: float) -> float:
    """A percentile of the times to first token in the burst, in seconds."""
    return float(np.percentile([answer.ttft for answer in course.burst.answers], percentile))


def within(course: Course, load: Load) -> float:
    """The share of requests whose first token came in time."""
    return float(np.mean([answer.ttft <= load.objective for answer in course.burst.answers]))


def faults(courses: Mapping[str, Course], load: Load) -> list[str]:
    """All that the run fails to prove, in sentences."""
    fixed, adaptive = courses[FIXED], courses[ADAPTIVE]
    late = first_token(adaptive, PERCENTILE)
    return [
        *(["the rate is one that unpruned serving sustains"] if load.rate <= load.capacity else []),
        *(["ratio 0 met the objective as well: the load shows nothing"] if _in_time(fixed, load) else []),
        *([] if _in_time(adaptive, load) else [f"adaptive: p{PERCENTILE} of {late:.1f} s misses the objective"]),
        *([] if max(look.ratio for look in adaptive.looks) else ["adaptive: the ratio never rose"]),
        *([] if adaptive.recovery is not None else ["adaptive: the ratio did not return to 0"]),
        *([] if _whole(adaptive) else ["adaptive: a request after the burst was not answered whole and unpruned"]),
    ]


def _in_time(course: Course, load: Load) -> bool:
    return first_token(course, PERCENTILE) <= load.objective


def _whole(course: Course) -> bool:
    after = course.after
    return after.succeeded and after.visual_kept is not None and after.visual_kept == after.visual_input
