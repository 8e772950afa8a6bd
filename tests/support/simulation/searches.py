"""What the tests search, by name: see `honeybadger.simulation.search`."""

from honeybadger.simulation.search import Wishes

SIZES = (4, 4, 4, 4, 4, 4, 4, 5, 6, 7)
MIXED = (4, 4, 5, 6, 7, 7, 7)

SEARCHES = {
    "agreement": Wishes(part="agreement", nodes=MIXED),
    # Flawed, but not so that random orders stall it.
    "mmr14": Wishes(part="agreement", nodes=MIXED, parameters={"agreement": "mmr14"}),
    "crain20": Wishes(part="agreement", nodes=MIXED, parameters={"agreement": "crain20"}),
    "whole": Wishes(nodes=SIZES),
    "whole, encrypted": Wishes(
        liars={3: "support.byzantine.attacks:CopiesTheFirst"},
        parameters={"encryption": "always", "pipeline_depth": 1},
        restarts=0,
    ),
    "whole, later": Wishes(
        liars={3: "support.byzantine.attacks:CopiesLater"},
        parameters={"encryption": "always", "pipeline_depth": 1},
        restarts=0,
    ),
    "pbft": Wishes(protocol="pbft", nodes=(4, 4, 4, 4, 4, 5, 7)),
}
