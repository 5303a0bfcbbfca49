"""Sample Explorer: see what GPT-2 really writes, and what it cost to find a good sample.

The layers, from the ground up; an arrow only points down (docs/architecture.md):

- ``core``: values and rules that everything else may use: errors, recipes, counting, words.
- ``system``: folders, settings, locks, signals. ``jobs``: work in child processes.
- ``engine``: token ids in, steps out. ``weights``: a checkpoint becomes a folder with a graph.
  ``library``: what was tried and kept. The three do not know each other.
- ``review``: keeping, rejecting, undoing; it moves between engine and library.
- ``studies``: what needs engine and weights: is a model sound, how good and how fast is it.
- ``loading``: which model is in use, and whether memory will do.
- ``gui``: shows and forwards; decides nothing. ``commands``: the same without a window.
- ``app`` (window) and ``cli`` (command line): the only places that wire things together.
"""
