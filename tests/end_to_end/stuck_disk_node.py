"""A node whose disk takes no block from some height on: `python stuck_disk_node.py HEIGHT node --cluster …`."""

import sys
import time

from honeybadger.cli.main import main
from honeybadger.ledger.chain import Chain

if __name__ == "__main__":
    height = int(sys.argv.pop(1))
    flush = Chain.flush

    def stuck(chain: Chain, through: int) -> list[int]:
        while chain.height >= height:
            time.sleep(1)
        return flush(chain, through)

    Chain.flush = stuck  # type: ignore[method-assign]
    main()
