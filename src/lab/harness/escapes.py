# A program that tries to get out of the sandbox, and names where it could. A tier is used only where it finds nothing.
def escapes():
    import os, socket
    def opens(path, mode):
        return lambda: open(path, mode).close()
    ways = {
        "opens a network socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "opens a local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        "reads /etc/passwd": opens("/etc/passwd", "rb"),
        "lists /root": lambda: os.listdir("/root"),
        "lists /home": lambda: os.listdir("/home"),
        "lists processes": lambda: os.listdir("/proc"),
        "writes to /usr": opens("/usr/chaski-probe", "wb"),
        "writes to /dev/shm": opens("/dev/shm/chaski-probe", "wb"),
        "writes to /var/tmp": opens("/var/tmp/chaski-probe", "wb"),
        "signals its parent": lambda: os.kill(os.getppid(), 0),
        "changes its user": lambda: os.setuid(0),
        "changes a mode": lambda: os.chmod("/", 0o777),
    }
    found = []
    for name, way in ways.items():
        try:
            way()
        except OSError:
            continue
        found.append(name)
    found += ["sees " + name for name in os.environ if name not in ("HOME", "PWD", "LC_CTYPE")]
    return found
