"""What a person can ask for. Prints nothing; used by cli/ and later by web/ alike."""
