# The judge: runs one test after the other, each in a process of its own, and never the program's code. Reads jobs from
# descriptor 3 and writes verdicts to 4; asks the worker on 6 and hears it on 5, and takes nothing from it but plain
# values and handles. values.py stands before it.
import itertools


class Failure(Exception):
    """The program is at fault in a way of its own: `verdict` names it."""

    def __init__(self, verdict, text):
        super().__init__(text)
        self.verdict = verdict


class Remote:
    """What the program keeps and we have a handle of.

    The program decides what its own objects answer, so it never gets to hear what a test expects of one: such
    an object is equal to no plain value, does no arithmetic with one, and answers to attributes only where
    the test itself made it by calling a class by name.
    """

    __slots__ = ("_peer", "_number", "_open")
    __hash__ = object.__hash__

    def __init__(self, peer, number, is_open):
        for name, value in (("_peer", peer), ("_number", number), ("_open", is_open)):
            object.__setattr__(self, name, value)

    def _ask(self, do, *args, **kwargs):
        return self._peer.request(do, self._open, {"o": self._number}, *args, **kwargs)

    def __call__(self, *args, **kwargs):
        return self._ask("call", *args, **kwargs)

    def __getattr__(self, name):
        if not self._open:
            raise AttributeError(f"the answer is an object of the program's own, whose {name} proves nothing")
        return self._ask("get", name)

    def __setattr__(self, name, value):
        if not self._open:
            raise AttributeError("an object of the program's own")
        self._ask("set", name, value)

    def __delattr__(self, name):
        self._ask("del", name)

    def __iter__(self):
        return RemoteIterator(self._peer, self._ask("iter"))

    def __next__(self):
        return next(RemoteIterator(self._peer, self))

    def __len__(self):
        return int(self._ask("len"))

    def __bool__(self):
        return bool(self._ask("bool"))

    def __str__(self):
        return str.__str__(self._ask("str"))

    def __repr__(self):
        return str.__str__(self._ask("repr"))

    def __int__(self):
        return int.__int__(self._ask("int"))

    def __float__(self):
        return float.__float__(self._ask("float"))

    def __getitem__(self, key):
        return self._ask("getitem", key)

    def __setitem__(self, key, value):
        self._ask("setitem", key, value)

    def __delitem__(self, key):
        self._ask("delitem", key)

    def __enter__(self):
        return self._ask("enter")

    def __exit__(self, *_):
        self._ask("exit")
        return False

    def __instancecheck__(self, other):
        return isinstance(other, Remote) and bool(self._peer.request("isinstance", False, other, self))

    def __eq__(self, other):
        return self is other or (isinstance(other, Remote) and bool(self._ask("eq", other)))

    def __ne__(self, other):
        return not self == other


def between_remotes(name):
    def method(self, other):
        return self._ask(name, other) if isinstance(other, Remote) else NotImplemented
    return method


for name in ("lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "matmul", "and_", "or_",
             "xor"):
    setattr(Remote, "__{}__".format(name.rstrip("_")), between_remotes(name))
Remote.__neg__ = lambda self: self._ask("neg")
Remote.__abs__ = lambda self: self._ask("abs")


class RemoteIterator:
    def __init__(self, peer, iterator):
        self.peer, self.iterator = peer, iterator

    def __iter__(self):
        return self

    def __next__(self):
        if not isinstance(self.iterator, Remote):
            raise TypeError("not an iterator")
        return self.peer.request("next", self.iterator._open, self.iterator)


class Judge(Peer):
    """The end that trusts nothing: takes values, gives calls of functions that the test handed over."""

    def __init__(self, channel):
        super().__init__(channel)
        self.classes = {}
        self.makes_open = False

    def encode_other(self, value, kind):
        if kind is Remote:
            return {"o": value._number}
        if isinstance(value, type) or kind is type(len):
            if getattr(builtins, value.__name__, None) is value:
                return {"y!": value.__name__}
        if hasattr(kind, "__next__"):
            return {"I": [self.encode(x) for x in itertools.islice(value, 100000)]}
        for base in (int, float, str, bytes, list, tuple, set, frozenset, dict):
            if isinstance(value, base):
                return self.encode(base(value))
        if callable(value):
            return {"h": self.export(value)}
        raise TypeError(f"a test cannot pass {kind.__name__} to the program")

    def decode_other(self, tag, content):
        if tag == "h" and type(content) is int:
            return Remote(self, content, self.makes_open)
        if tag == "k":
            return dict.fromkeys([self.decode(x) for x in content]).keys()
        if tag == "m":
            return dict([self.decode(x) for x in content]).items()
        if tag == "n":
            import decimal, fractions
            return {"Decimal": decimal.Decimal, "Fraction": fractions.Fraction}[content[0]](content[1])
        if tag == "x":
            return self.exception_class(*content)
        if tag == "M":
            return Module(content)
        raise ValueError("not a value")

    def exception_class(self, name, base_name):
        base = getattr(builtins, base_name, None)
        # An exception that ends loops or programs must not pass for one that a test can let pass.
        if not (isinstance(base, type) and issubclass(base, Exception)) or issubclass(base, (
                StopIteration, StopAsyncIteration)):
            base = RuntimeError
        if name == base.__name__:
            return base
        if (name, base) not in self.classes:
            self.classes[name, base] = type(str(name), (base,), {})
        return self.classes[name, base]

    def request(self, do, is_open, *args, **kwargs):
        sent = [x if type(x) is dict and "o" in x else self.encode(x) for x in args[:1]]
        sent += [self.encode(x) for x in args[1:]]
        reply = self.ask(do=do, args=sent, kwargs={k: self.encode(x) for k, x in kwargs.items()})
        if reply.get("printed"):
            sys.stdout.write(str(reply["printed"]))
        self.makes_open = is_open
        if "error" in reply:
            if do == "next" and reply["error"]["class"] == ["StopIteration", "StopIteration"]:
                raise StopIteration
            raise self.exception(reply["error"])
        for i, after in reply.get("after", []):
            write_back(args[i], self.decode(after))
        return self.decode(reply["ok"])

    def exception(self, error):
        kind = self.exception_class(*error["class"])
        text = str(error["text"])
        if kind.__name__ != error["class"][0]:
            text = f"{error['class'][0]}: {text}"
        self.makes_open = False
        try:
            e = kind(*[self.decode(x) for x in error["args"]])
        except Exception:
            e = kind.__new__(kind)
            e.args = (text,)
        for name, value in error["attributes"].items():
            if not name.startswith("_"):
                setattr(e, name, self.decode(value))
        return e

    def answer(self, message):
        """A call, by the program, of a function that the test passed to it."""
        try:
            if message["do"] != "call" or type(message["of"]) is not int or message["of"] < 0:
                raise ValueError("not a call")
            self.makes_open = False
            value = self.exported[message["of"]](*[self.decode(x) for x in message["args"]],
                                                 **{k: self.decode(x) for k, x in message["kwargs"].items()})
            reply = {"ok": self.encode(value)}
        except Exception as e:
            reply = {"error": [type(e).__name__, str(e)[:2000]]}
        self.channel.send(reply)

    def load(self, job, names):
        loaded = self.ask(do="load", program=job["program"], entry=job["entry"], names=names, tasks=job["tasks"])
        facts = {"defines": loaded.get("defines") is True, "writes": loaded.get("writes") is True}
        if "error" not in loaded:
            namespace = {}
            entry = job["entry"]
            for name, value in [*loaded["ok"].items(), ("candidate", loaded.get("candidate"))]:
                called = entry if name == "candidate" else name
                self.makes_open = called[:1].isupper()
                bound = self.decode(value)
                namespace[name] = bound.take(name) if type(bound) is Module else bound
            return facts, namespace, None
        return facts, {}, self.load_failure(loaded)

    def load_failure(self, loaded):
        if loaded["stage"] == "syntax":
            return Failure("syntax_error", "{}: {}".format(loaded["error"]["class"][0], loaded["error"]["text"]))
        if loaded["stage"] == "compile":
            return Failure("failed", "the program is nested too deeply to be compiled")
        return self.exception(loaded["error"])


class Module:
    """A module that the program imported: the test sees our own, if it goes by its own name."""

    def __init__(self, name):
        self.name = name

    def take(self, name):
        if name == self.name and name in sys.stdlib_module_names:
            return __import__(name)
        return None


def write_back(old, new):
    """Make `old` equal to `new`, keeping what is equal inside."""
    if type(old) is list and type(new) is list:
        for i, value in enumerate(new[:len(old)]):
            new[i] = merged(old[i], value)
        old[:] = new
    elif type(old) is dict and type(new) is dict:
        merged_items = {k: merged(old.get(k), v) for k, v in new.items()}
        old.clear()
        old.update(merged_items)
    elif type(old) is set and type(new) is set:
        old.clear()
        old.update(new)
    elif type(old) is bytearray and type(new) is bytearray:
        old[:] = new


def merged(old, new):
    if type(old) is type(new) and type(new) in (list, dict, set, bytearray):
        write_back(old, new)
        return old
    return new


def names_of(code):
    names = set(code.co_names)
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            names |= names_of(constant)
    return names


LIMIT_ERRORS = {11, 23, 24, 27, 28, 122}  # EAGAIN, ENFILE, EMFILE, EFBIG, ENOSPC, EDQUOT


def verdict_of(e):
    if isinstance(e, Failure):
        return e.verdict
    if isinstance(e, (MemoryError, RecursionError)):
        return "memory"
    if isinstance(e, OSError) and e.errno in LIMIT_ERRORS:
        return "limit"
    if isinstance(e, RuntimeError) and "can't start new thread" in str(e):
        return "limit"
    return "failed"


def said_of(e, test):
    """The exception, and the line of the test that it came from."""
    text = str(e) if isinstance(e, Failure) else f"{type(e).__name__}: {e}".rstrip(": ")
    line, trace = 0, e.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<test>":
            line = trace.tb_lineno
        trace = trace.tb_next
    lines = test.split("\n")
    return f"{lines[line - 1].strip()}\n{text}" if 0 < line <= len(lines) else text


def judge(job):
    import resource
    seconds = job["cpu_s"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    result = {"token": job["token"], "verdict": "failed", "message": "", "defines": False, "writes": False}
    test = job["test"]
    try:
        code = compile(test, "<test>", "exec")
        peer = Judge(Channel(5, 6))
        names = sorted(name for name in names_of(code) if not hasattr(builtins, name))
        facts, namespace, failure = peer.load(job, names)
        result.update(facts)
        if failure is not None:
            raise failure
        namespace["__name__"] = "test"
        if namespace.get("candidate") is None:
            namespace.pop("candidate", None)
        exec(code, namespace)
        result["verdict"] = "passed"
    except Closed:
        return
    except BaseException as e:
        result["verdict"] = verdict_of(e)
        try:
            # A lone surrogate is no text outside of Python.
            result["message"] = said_of(e, test)[:4000].encode("utf-8", "backslashreplace").decode()
        except BaseException:
            result["message"] = type(e).__name__
    Channel(3, 4).send(result)


def main():
    jobs = Channel(3, 4)
    while True:
        try:
            job = jobs.receive()
        except Closed:
            return
        child = os.fork()
        if child == 0:
            status = 1
            try:
                judge(job)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status:
            jobs.send({"token": job["token"], "verdict": "timed_out" if os.WIFSIGNALED(status) else "memory",
                       "message": "the test itself was ended", "defines": False, "writes": False})


if __name__ == "__main__":
    main()
