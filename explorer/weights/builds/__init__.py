"""A checkpoint becomes builds: packed, written node by node, converted whole or not at all."""
