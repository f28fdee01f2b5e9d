"""Not for pytest: scripts that other job runners load in an environment of their own."""

collect_ignore = ["peers/scripts"]
