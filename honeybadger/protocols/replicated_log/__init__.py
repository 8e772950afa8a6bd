"""What Raft, Multi-Paxos, Viewstamped Replication and Zab have in common: a leader with a number, whose log all copy.

The leader's number is a term, a ballot, a view or an epoch; here it is called a term. A batch of transactions is an
entry of the log, entry n is block n, and an empty entry is an empty block. What a majority has on disk is committed.
How a leader is found, and what it must know before it proposes, is each protocol's own.
"""
