"""A WAN on one machine: nodes in network namespaces, with shaped links.

`profile.py`: the properties of the links; `namespaces.py`: makes and removes the network; `echo.py`: measures round
trips; `emulation.py`: all of it together, as a run uses it.

There are two ways to shape links. Where the kernel has `tc netem`, `netem.py` uses it. Elsewhere a process
carries the packets: `link_model.py` says when a packet arrives, `tun.py` is the device that packets come from and go
to, `forwarding.py` is the process, and `user_space.py` starts it.
"""
