"""What the tests search, by name: see `honeybadger.simulation.search`."""

from typing import Any

from honeybadger.simulation.search import Wishes

SIZES = (4, 4, 4, 4, 4, 4, 4, 5, 6, 7)
MIXED = (4, 4, 5, 6, 7, 7, 7)
WIDE = (4, 4, 4, 5, 6, 7, 7, 8, 9, 10)


def agreement(**parameters: Any) -> Wishes:
    return Wishes(part="agreement", nodes=MIXED, parameters=parameters)


def broadcast(**parameters: Any) -> Wishes:
    return Wishes(part="broadcast", nodes=WIDE, parameters=parameters)


def whole(**parameters: Any) -> Wishes:
    return Wishes(nodes=SIZES, parameters=parameters)


def copied(copier: str) -> Wishes:
    return Wishes(
        liars={3: f"support.byzantine.attacks:{copier}"},
        parameters={"encryption": "always", "pipeline_depth": 1},
        restarts=0,
    )


SEARCHES = {
    "agreement": agreement(),
    # Flawed, but not so that random orders stall it.
    "mmr14": agreement(agreement="mmr14"),
    "crain20": agreement(agreement="crain20"),
    "broadcast": broadcast(),
    "avid": broadcast(broadcast="avid"),
    "bracha": broadcast(broadcast="bracha"),
    "whole": whole(),
    "whole, crain20": whole(agreement="crain20"),
    "whole, avid": whole(broadcast="avid"),
    "whole, bracha": whole(broadcast="bracha"),
    "whole, encrypted": copied("CopiesTheFirst"),
    "whole, later": copied("CopiesLater"),
    "pbft": Wishes(protocol="pbft", nodes=(4, 4, 4, 4, 4, 5, 7)),
}
