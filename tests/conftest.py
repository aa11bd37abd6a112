"""Ctrl-C reaches the tests, and the processes they start, even where the runner was started in the background with SIGINT ignored."""
import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
