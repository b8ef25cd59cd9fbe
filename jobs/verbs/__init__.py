"""The verbs of the command line, in the order in which help lists them.

A verb imports what it needs when it runs: `gristmill --help` imports nothing heavy.
"""

from jobs.verbs.catalogue import DEMO, MODELS, TASKS, TRAIN
from jobs.verbs.clusters import CLUSTER, DOCTOR
from jobs.verbs.manifests import RENDER
from jobs.verbs.pipelines import RUN, SEARCH, SHOW
from jobs.verbs.planning import PLAN
from jobs.verbs.schedules import SCHEDULE
from jobs.verbs.serving import SERVE
from jobs.verbs.submission import LOGS, STATUS, STOP, SUBMIT, WAIT
from jobs.verbs.verb import Group, Verb

VERBS: tuple[Verb | Group, ...] = (
    DEMO,
    TASKS,
    PLAN,
    RUN,
    SHOW,
    SEARCH,
    SERVE,
    SUBMIT,
    STATUS,
    LOGS,
    STOP,
    WAIT,
    SCHEDULE,
    RENDER,
    TRAIN,
    MODELS,
    CLUSTER,
    DOCTOR,
)
"""All but `completion`, which is made of them."""
