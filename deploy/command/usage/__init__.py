"""
What can be typed: the options and the help of each command.

These modules import nothing of what a command works with, so that `--help`, completion and wrong usage are fast. The
function of a command checks its options, then imports its work from the modules beside this folder, and returns it.
"""
