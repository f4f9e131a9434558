"""What vehicles are paid for, what they see, how their episodes begin and end."""

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class RoadSettings:
    """What the vehicles are paid for, what they see, how episodes begin and end."""

    reward: Literal["own", "team", "mix", "tolled"] = "own"
    """own: minus the own travel time over its free-flow time; team: minus the mean travel time;
    mix: between the two, by `team_share`; tolled: own, minus the delay that the vehicle causes
    to others on the link that it enters, p (tau - t0) (Pigou's toll, from local data)."""
    team_share: float = 0.5
    """Share of the team's reward in `mix`."""
    arrival_bonus: float = 0.0
    """Paid to a vehicle on arrival."""
    trips: Literal["fixed", "sampled"] = "fixed"
    """fixed: the fleet's own origins, destinations and departures in every episode; sampled: drawn
    from the network's demand on every reset (for policies that all vehicles share)."""
    departure_jitter: int = 2
    """Steps by which fixed departures are shifted at random in training, either way; scores are
    taken without it."""
    horizon: int | None = None
    """Steps; None: the window and six times the longest free-flow time, at most 600."""
    congestion: Literal["bpr", "queue"] = "bpr"
    """See `leed_jax.road.traffic`."""
    info: Literal["local", "network"] = "local"
    """network: every vehicle also observes the occupancy of all links."""

    def __post_init__(self) -> None:
        limits = (
            ("reward", self.reward in ("own", "team", "mix", "tolled"), "own, team, mix or tolled"),
            ("team_share", 0 <= self.team_share <= 1, "in [0, 1]"),
            ("arrival_bonus", math.isfinite(self.arrival_bonus), "finite"),
            ("trips", self.trips in ("fixed", "sampled"), "fixed or sampled"),
            ("departure_jitter", self.departure_jitter >= 0, "at least 0"),
            ("horizon", self.horizon is None or self.horizon > 0, "positive"),
            ("congestion", self.congestion in ("bpr", "queue"), "bpr or queue"),
            ("info", self.info in ("local", "network"), "local or network"),
        )
        for name, good, allowed in limits:
            if not good:
                raise ValueError(f"{name} must be {allowed}, got {getattr(self, name)!r}")
        if self.reward == "tolled" and self.congestion == "queue":
            raise ValueError("reward='tolled' needs congestion='bpr': a queue's delay has no slope")

    @property
    def shared(self) -> float:
        """Share of the team's reward in an agent's."""
        return {"team": 1.0, "mix": self.team_share}.get(self.reward, 0.0)
