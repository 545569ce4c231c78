"""Sweeps as they are asked for, and their leaderboard."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field

from app.api.schemas.base import Flag, Incoming, Number, Outgoing, Whole, open_enum
from app.api.schemas.job_requests import JobCreate
from app.domain.json import Json
from app.domain.specification import DEFAULT_TENANT
from app.domain.sweeps.asked import SweepRequest
from app.domain.sweeps.space import Condition, Dimension
from app.domain.sweeps.sweep import Direction, Strategy
from app.domain.sweeps.trials import Outcome

WHEN = (
    "Values of other parameters of the space with which this one is tried; a list holds alternatives. "
    "Without them it is left out of the trial."
)


class _Searched(Incoming):
    """What every parameter of a space has."""

    when: dict[str, Json] = Field(default_factory=dict, description=WHEN, examples=[{"kernel": "poly"}])

    def to_dimension(self, name: str) -> Dimension:
        """The domain's dimension."""
        said = {k: v for k, v in self.model_dump(exclude={"type", "when"}).items() if v is not None}
        if "values" in said:
            said["values"] = tuple(said["values"])
        when = tuple(Condition(parent, tuple(v) if isinstance(v, list) else (v,)) for parent, v in self.when.items())
        return Dimension(name, str(getattr(self, "type")), when=when, **said)  # noqa: B009 - each has its own `type`


class IntParameter(_Searched):
    """A whole number, bounds included."""

    type: Literal["int"]
    low: Whole
    high: Whole
    step: Whole | None = Field(None, description="Only low, low + step, …")
    log: Flag = Field(False, description="Drawn evenly in its logarithm.")


class FloatParameter(_Searched):
    """A number."""

    type: Literal["float"]
    low: Number
    high: Number
    step: Number | None = Field(None, description="Only low, low + step, …")
    count: Whole | None = Field(None, description="Only so many values, at equal distances.")
    log: Flag = Field(False, description="Drawn evenly in its logarithm.")


class LogParameter(_Searched):
    """A number that is drawn evenly in its logarithm."""

    type: Literal["log"]
    low: Number
    high: Number
    count: Whole | None = Field(None, description="Only so many values, at equal distances in the logarithm.")


class CategoricalParameter(_Searched):
    """One of these values."""

    type: Literal["categorical"]
    values: list[Json]


Searched = Annotated[
    IntParameter | FloatParameter | LogParameter | CategoricalParameter,
    Discriminator("type"),
]


class EarlyStoppingRequest(Incoming):
    """Stop trials that are not among the best at a rung (ASHA)."""

    eta: Whole = Field(3, description="The best one of so many goes on beyond each rung; rungs lie this factor apart.")
    min_step: Whole | None = Field(
        None, description="The first rung, in the steps that trials report; max_epochs / 27 of the trial when left out."
    )


class SweepCreate(JobCreate):
    """A search over parameters of a template. All fields of a job hold for each of its trials."""

    space: dict[str, Searched] = Field(description="What to search, by parameter; a dot leads into an object.")
    strategy: Strategy = Field(
        Strategy.TPE, description="grid: all in order; random; tpe: learns from the trials before."
    )
    objective: str = Field(description="The metric by which trials are compared.", max_length=100)
    direction: Direction = Direction.MAXIMIZE
    max_trials: Whole | None = Field(None, description="How many different trials; a grid's own size when left out.")
    max_parallel: Whole | None = Field(
        None, description="Trials queued or running at once; at most 8, and 2 more than find room, when left out."
    )
    seed: Whole | None = Field(None, description="What is drawn follows from it; 0 when left out.")
    reproducible: bool | None = Field(
        None,
        description="The same seed tries the same, whichever trials end first: one of tpe then learns from those that"
        " are `max_parallel` (or 8) numbers or more before it, and waits for them. Left out: whether a seed is given.",
    )
    goal: Number | None = Field(None, description="A value of the objective with which the rest is cancelled.")
    early_stopping: EarlyStoppingRequest | None = None

    def to_sweep(self, tenant: str = DEFAULT_TENANT) -> SweepRequest:
        """The domain's request."""
        stopping = self.early_stopping
        return SweepRequest(
            request=self.to_request(tenant),
            space=tuple(searched.to_dimension(name) for name, searched in self.space.items()),
            strategy=self.strategy,
            objective=self.objective,
            direction=self.direction,
            max_trials=self.max_trials,
            max_parallel=self.max_parallel,
            seed=self.seed or 0,
            reproducible=self.seed is not None if self.reproducible is None else self.reproducible,
            goal=self.goal,
            eta=None if stopping is None else stopping.eta,
            min_step=None if stopping is None else stopping.min_step,
        )


class FoundTrial(Outgoing):
    """The best trial, as it was known when the sweep ended."""

    number: int
    job_id: str
    value: float


class SweepInfo(Outgoing):
    """What a sweep searches, and how."""

    strategy: Annotated[str, open_enum(*Strategy)]
    objective: str
    direction: Direction
    max_trials: int
    max_parallel: int
    seed: int
    reproducible: bool = Field(description="Whether the seed and the values of trials decide all that is tried.")
    goal: float | None
    early_stopping: dict[str, int] | None = Field(description="`eta`, and the first rung `min_step`.")
    space: dict[str, Any] = Field(description="As it was asked, parents before children.")
    best: FoundTrial | None = Field(description="Null before the end; the leaderboard tells it at any time.")


class TrialRow(Outgoing):
    """A trial. Those with a value are ranked; then come those that have not ended, then those without a value."""

    rank: int | None = Field(description="1 for the best; null without a value.")
    number: int = Field(description="From 0, in the order in which trials were asked.")
    job_id: str
    state: Annotated[str, open_enum("waiting", "running", "paused", *Outcome)]
    parameters: dict[str, Any] = Field(description="What of the space it tried.")
    value: float | None = Field(description="The objective at its best step.")
    step: int | None
    rung: int | None = Field(description="The last rung that it reached, or where it was stopped early.")
    cluster_seconds: float = Field(description="For how long its runs were on a node.")


class BestTrial(Outgoing):
    """The first of the leaderboard, and the model that it stored, where it stored one."""

    job_id: str
    number: int
    value: float
    parameters: dict[str, Any]
    model: str | None = Field(description="As the parameter `model` of other jobs takes it: {job_id}/{artifact}.")
    model_url: str | None


class Leaderboard(Outgoing):
    """The trials of a sweep, best first, and which parameters matter."""

    batch_id: str
    status: str
    strategy: Annotated[str, open_enum(*Strategy)]
    objective: str
    direction: Direction
    max_trials: int
    asked: int = Field(description="Trials so far.")
    ended: int
    without_value: int = Field(description="Trials that completed and never told the objective as a number.")
    best: BestTrial | None
    importance: dict[str, float] | None = Field(
        description="Share of each parameter in what trials differ by (fANOVA), worked out every ten; null before 20 "
        "have completed, and the few seconds until it is worked out first."
    )
    trials: list[TrialRow]
    next_cursor: str | None
