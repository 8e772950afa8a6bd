"""Runs with nodes on other hosts, over SSH (`bench run --hosts`).

`inventory.py`: the list of hosts; `agent.py`: the program that the controller sends to each of them; `link.py`: the
connection to it; `deploy.py`: wheels; `preflight.py`: checks before a run; `hosts_place.py`: puts it together. A host
needs an SSH server and Python, but no internet. Nothing is left on it.
"""
