"""The `drlit` command as a process: it hears Ctrl-C from its first moment on, ends within two seconds of it, and leaves no child. Hand-written; what a command does is in cli.py."""
import atexit
import errno
import os
import signal
import socket
import sys
import threading
from contextlib import suppress

GRACE = 1.5  # seconds from Ctrl-C until a command that has not ended is ended; a second Ctrl-C ends it at once
SAID = threading.Lock()  # held once it is said that the command was interrupted


def open_streams():
    "Where 0, 1 or 2 is closed, the next file that is opened would get that number, and whatever a library prints"
    for number in range(3):
        try: os.fstat(number)
        except OSError as e:
            if e.errno == errno.EBADF: os.open(os.devnull, os.O_RDWR)  # it takes the lowest free number
    if sys.stderr is None: sys.stderr = open(os.devnull, "w")  # `print` would take None for standard output


def end_children():
    "Kill all that this process has started, and what those have; elsewhere than on Linux they notice that it is gone"
    parents = {}
    for pid in filter(str.isdecimal, os.listdir("/proc") if sys.platform == "linux" else ()):
        with suppress(OSError), open(f"/proc/{pid}/stat", errors="replace") as f: parents[int(pid)] = int(f.read().rpartition(")")[2].split()[1])
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family: family |= more
    for pid in family - {os.getpid()}:
        with suppress(OSError): os.kill(pid, signal.SIGKILL)


def end_in_time(heard, told):
    "Wait for Ctrl-C, then for the time that a command has left, or another Ctrl-C"
    while heard.recv(1) != bytes([signal.SIGINT]): pass
    heard.settimeout(GRACE)
    with suppress(OSError): heard.recv(1)
    say_interrupted()
    end_children()
    os._exit(130)


def on_ctrl_c(number, frame):
    "An exception; amid an import, which it would leave half done and others take for whole, the end"
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            say_interrupted()
            leave(130)
        frame = frame.f_back
    raise KeyboardInterrupt


def watch():
    "Hear Ctrl-C, also beside work that keeps Python from hearing anything for seconds; where it was to be ignored, it still is"
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler: return
    signal.signal(signal.SIGINT, on_ctrl_c)
    with suppress(OSError, RuntimeError, ValueError):  # no room for a thread: the exception must do
        heard, told = socket.socketpair()
        told.setblocking(False)
        signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=end_in_time, args=(heard, told), daemon=True).start()


def leave(code):
    "End this process: what was registered for its end is done, the modules are not taken down one by one"
    atexit._run_exitfuncs()
    if code == 130: end_children()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, RuntimeError, ValueError): stream.flush()
    os._exit(code)


def say(line):
    "A line on standard error, if anybody reads it"
    with suppress(AttributeError, OSError, RuntimeError, ValueError): sys.stderr.write(f"drlit: {line}\n")


def say_interrupted():
    "Once"
    if SAID.acquire(blocking=False): say("interrupted; the same command again continues from here")


def run():
    "The command; its exit code"
    from drlit.cli import main
    try: return main()
    except SystemExit as e: return e.code or 0


def main():
    "Run the command and end this process"
    try:
        open_streams()
        watch()
        code = run()
    except KeyboardInterrupt:  # before the command itself listened, or after it
        say_interrupted()
        code = 130
    except (ImportError, MemoryError, OSError) as e:
        say(f"cannot start ({type(e).__name__}: {' '.join(str(e).split())}); raise the limits on memory, processes and open files (ulimit -v, -u, -n), or install drlit again")
        code = 2
    leave(code)


if __name__ == "__main__": main()
