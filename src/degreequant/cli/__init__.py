"""The command line: thin commands over the library, one line of error for a user's mistake."""
