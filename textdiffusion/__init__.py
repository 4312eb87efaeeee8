"""What the launcher, the router, the workers and the client share."""

import os

__version__ = "0.1.0"

# gRPC's core writes lines of its own making to standard error; the log says what matters of them, in its own form. It
# looks at this once, when it is imported, which in every process is after this package.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
