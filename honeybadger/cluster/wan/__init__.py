"""A WAN in a box: nodes in network namespaces whose links are shaped.

`profile.py`: what the links are like; `namespaces.py`: makes and removes the network; `echo.py`: measures round trips;
`emulation.py`: all of it together, as a run uses it.

Two ways to shape links. With `tc netem` where the kernel has it: `netem.py`, and `shaping.py` for the commands, a pure
function. Else in user space: `link_model.py` says when a packet arrives, a pure model like netem's; `tun.py` is the
device that packets come from and go to, `forwarding.py` the process that carries them, `user_space.py` starts it.
"""
