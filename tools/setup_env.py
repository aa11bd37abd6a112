"""Create .venv if it is missing and install drlit into it, editable: `python3 tools/setup_env.py run|dev`.

`run` is what `drlit bench` needs, `dev` adds what tests and book need. Standard library only, and old syntax:
the interpreter that starts this file may be too old to run drlit, and has to be able to say so.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LEAST = (3, 10)
EXTRAS = {"run": "", "dev": "[dev,book]"}
NOISE = re.compile(r"Location '.*' is ignored: it is neither a file nor a directory|A new release of pip|To update, run:|^\s*$")


def stop(sentence):
    sys.exit("drlit: " + sentence)


def say(sentence):
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def check_version():
    "Say so if this interpreter is too old"
    if sys.version_info[:2] < LEAST:
        stop("Python %d.%d or newer is needed, this one is %d.%d. Name a newer one: make PYTHON=python3.12 ..."
             % (LEAST + sys.version_info[:2]))


def can_make_venv():
    "Debian splits ensurepip off (and a minimal Python the venv module too)"
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def make_venv():
    "A virtual environment with pip, unless a working one is there"
    if os.path.exists(PYTHON) and not subprocess.call([PYTHON, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        return
    if not can_make_venv():
        stop("this Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv")
    say("creating .venv with Python %d.%d" % sys.version_info[:2])
    shutil.rmtree(VENV, ignore_errors=True)
    if subprocess.call([sys.executable, "-m", "venv", VENV]):
        shutil.rmtree(VENV, ignore_errors=True)
        stop("could not create .venv; the message is above. On Debian and Ubuntu: apt-get install python3-venv")


def pip_install(extras):
    "pip install -e, without the warnings that say nothing to a user; pip's progress bars only on a terminal"
    cmd = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "-e", "." + extras]
    if not sys.stdout.isatty():
        cmd.insert(4, "-q")
    pip = subprocess.Popen(cmd, cwd=ROOT, stderr=subprocess.PIPE, universal_newlines=True)
    for line in pip.stderr:
        if not NOISE.search(line):
            sys.stderr.write(line)
    return pip.wait()


def main(what):
    check_version()
    make_venv()
    say("installing drlit%s into .venv (the first time this fetches PyTorch: some minutes)" % EXTRAS[what])
    if pip_install(EXTRAS[what]):
        stop("pip could not install the packages; its message is above. Is there a network connection, and 6 GB of disk?")
    with open(os.path.join(VENV, "installed-" + what), "w"):
        pass


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in EXTRAS:
        stop("usage: python3 tools/setup_env.py " + "|".join(EXTRAS))
    main(sys.argv[1])
