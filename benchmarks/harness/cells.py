"""Shapes of traffic, written as DIRECTION/PAYLOAD/BURST/SESSIONS, such as up/172/1/64."""

from dataclasses import dataclass
from itertools import product

DIRECTIONS = ("up", "down", "both", "pairs")
PAYLOADS = (64, 172, 1200)
BURSTS = (1, 16)
SESSIONS = (1, 64, 1000, 10_000)
LINKS = ("frames", "whole")


@dataclass(frozen=True)
class Cell:
    """One shape of traffic.

    link: "frames" carries every datagram as a frame of its own; "whole" lets GSO packets cross as they are.
    nics: 1, where clients and peers are behind one interface of the relay; 2, where each have their own.
    """

    direction: str          # up: client to peer; down: peer to client; both; pairs: client to client through the relay
    payload: int            # bytes
    burst: int              # datagrams to one flow at a time
    sessions: int
    link: str = "frames"
    nics: int = 1
    spread: int = 1         # link "whole": sizes payload, payload + 1 and so on, which GSO does not join

    @property
    def name(self) -> str:
        return (f"{self.direction}/{self.payload}/{self.burst}/{self.sessions}"
                f"{'/whole' if self.link == 'whole' else ''}{'/2nics' if self.nics == 2 else ''}")

    @staticmethod
    def parse(text: str) -> "Cell":
        """The cell of a name; ValueError says what is wrong with it."""
        parts = text.split("/")
        try:
            direction, payload, burst, sessions = parts[0], *map(int, parts[1:4])
        except ValueError:
            raise ValueError(f"'{text}' is not DIRECTION/PAYLOAD/BURST/SESSIONS[/whole][/2nics]") from None
        rest = set(parts[4:])
        if direction not in DIRECTIONS or rest - {"whole", "2nics"}:
            raise ValueError(f"'{text}': the direction is one of {', '.join(DIRECTIONS)}; whole or 2nics may follow")
        if not 24 <= payload <= 1200 or payload % 4 or not 1 <= burst <= 32 or not 1 <= sessions <= 16_000:
            raise ValueError(f"'{text}': 24 to 1200 bytes in fours, bursts of 1 to 32, 1 to 16000 sessions")
        if direction == "pairs" and (sessions % 2 or "whole" in rest):
            raise ValueError(f"'{text}': pairs are an even number of sessions, as frames")
        if rest == {"whole", "2nics"}:
            raise ValueError(f"'{text}': two interfaces go with frames only")
        return Cell(direction, payload, burst, sessions, "whole" if "whole" in rest else "frames",
                    2 if "2nics" in rest else 1)

    def suits(self, server) -> bool:
        """Whether a server can be measured by this cell."""
        return self.link in server.links and self.direction in server.directions and self.nics <= server.nics


BASE = Cell("up", 172, 1, 64)
# Every axis by itself, from the base.
CROSS = [Cell.parse(name) for name in (
    "up/172/1/64", "down/172/1/64", "both/172/1/64", "pairs/172/1/64", "up/64/1/64", "up/1200/1/64", "up/172/1/1",
    "up/172/1/1000", "up/172/1/10000", "up/1200/16/64", "down/1200/16/64", "up/1200/16/64/whole",
    "up/172/1/64/2nics")]
QUICK = [Cell.parse(name) for name in ("up/172/1/64", "up/1200/16/64")]


def matrix() -> list[Cell]:
    """All combinations; one session makes no pair."""
    every = [Cell(*axes) for axes in product(DIRECTIONS, PAYLOADS, BURSTS, SESSIONS)]
    return [cell for cell in every if cell.direction != "pairs" or cell.sessions > 1]


def planes() -> list[Cell]:
    """All cells by which one userspace plane is held against the other."""
    return [Cell(*axes) for axes in product(("up", "down", "both"), (172, 1200), (1, 8), (1, 64, 4000))]
