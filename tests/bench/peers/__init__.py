"""Other job runners, each behind the same few verbs and in its documented configuration, as durable as it can be."""
