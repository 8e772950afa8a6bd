"""Runs whose nodes live on other hosts, reached over SSH (`bench run --hosts`).

`inventory.py`: which hosts; `agent.py`: the program that the controller sends to each of them; `link.py`: the
connection to it; `deploy.py`: wheels; `preflight.py`: what must hold before a run; `hosts_place.py`: puts it together.
A host needs an SSH server and Python; it needs no internet, and nothing is left on it.
"""
