"""python -m tests.crash.launch FAILPOINT WORDS...: a command line that dies by itself."""

import sys

from node.cli import main
from tests.crash.failpoints import Failpoint

if __name__ == "__main__":
    Failpoint.parse(sys.argv.pop(1)).arm()
    main()
