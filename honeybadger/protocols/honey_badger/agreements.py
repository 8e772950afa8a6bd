"""The binary agreements by name, as the parameter `agreement` chooses them."""

from honeybadger.protocols.honey_badger.agreement_crain20 import Crain20
from honeybadger.protocols.honey_badger.agreement_mmr14 import Mmr14
from honeybadger.protocols.honey_badger.agreement_mmr14_conf import Mmr14Conf
from honeybadger.protocols.honey_badger.binary_agreement import BinaryAgreement
from honeybadger.protocols.honey_badger.parameters import Agreement

AGREEMENTS: dict[Agreement, type[BinaryAgreement]] = {"mmr14-conf": Mmr14Conf, "mmr14": Mmr14, "crain20": Crain20}
