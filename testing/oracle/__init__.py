"""The decoding algorithms straight from their definitions: one request, no batch, plain loops over whole logits.

What the engine does for many requests at once, and as fast as it can, has to come out as it does here. The two share
nothing but the names of the options and the random numbers; the networks too are written out again.
"""

from testing.oracle.decoding import Outcome, decode
from testing.oracle.networks import KeysAndValues, Network, Transformer

__all__ = ["KeysAndValues", "Network", "Outcome", "Transformer", "decode"]
