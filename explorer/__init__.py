"""Sample Explorer: see what GPT-2 really writes, and what it cost to find a good sample.

The floors, from the ground up (an arrow only points down, see docs/architecture.md):

- ``errors``, ``recipe``, ``paths``, ``manifest``, ``settings``, ``child_process``,
  ``heartbeat``, ``jobs``,
  ``lock``, ``interrupt``, ``version``, ``licences``, ``crash``, ``display``: plain values
  and tools that everybody may use.
- ``engine``: token ids in, steps out. ``weights``: a checkpoint becomes an ONNX folder.
  ``library``: what was tried and kept. The three do not know each other.
- ``review``, with ``screen``, ``hunt``, ``seats``, ``refill`` and ``showing``: the rule of keeping,
  rejecting and counting; it moves between engine and library.
- ``studies``: what needs engine and weights: whether a model is sound, how good its builds are.
- ``gui``: shows and forwards; decides nothing.
- ``app`` (window) and ``cli`` (command line): the only places that wire things together.
"""
