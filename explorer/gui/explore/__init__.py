"""The page on which a person hunts: prompt, recipe, lanes, the hunt's figures."""
