"""The rule of the product: keeping, rejecting, skipping, undoing. Start reading at ``review``."""
