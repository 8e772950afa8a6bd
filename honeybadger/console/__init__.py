"""A process and the person in front of it: the standard streams, the signals that end it, text on a terminal."""
