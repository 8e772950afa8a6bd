"""Honey Badger BFT (Miller, Xia, Croman, Shi, Song: CCS 2016).

Begin with `protocol` (epochs), then `epoch`, `common_subset`, `reliable_broadcast`, `binary_agreement`, `common_coin`.
The agreements to choose from are `agreement_mmr14_conf`, `agreement_mmr14` and `agreement_crain20`; the broadcasts
`broadcast_hash_echo`, `broadcast_avid` and `broadcast_bracha`.
"""

from honeybadger.protocols.honey_badger.specification import SPECIFICATION

__all__ = ["SPECIFICATION"]
