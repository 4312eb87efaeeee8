import os

# gRPC's core writes lines of its own making to standard error; the log says what matters of them, in its own form.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
