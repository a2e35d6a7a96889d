"""What a run does where nobody says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Defaults:
    seconds: float          # of one trial
    precision: float        # of the search
    sessions: int           # for memory and setups
    base_rounds: int        # of the base cell
    rounds: int = 1         # of all other cells, and of duels

    @staticmethod
    def of(quick: bool) -> "Defaults":
        return QUICK if quick else FULL


FULL = Defaults(seconds=0.7, precision=0.03, sessions=10_000, base_rounds=3)
QUICK = Defaults(seconds=0.3, precision=0.1, sessions=2000, base_rounds=1)
