"""Functions that attack the sandbox. Each returns True only where its attack has worked.

`evaluate` receives "PORT PATH PID": a port on which the test listens on the loopback, a path that must not come
into being, and the test's own process.
"""

from __future__ import annotations

_TARGETS = """
def targets(response):
    port, path, pid = response.split(" ")
    return int(port), path, int(pid)
"""

RUNAWAYS = {
    "infinite_loop": "def evaluate(response):\n    while True: pass",
    "infinite_loop_at_import": "while True: pass\ndef evaluate(response): return True",
    "sleep_for_ever": "import time\ndef evaluate(response):\n    time.sleep(10 ** 6)\n    return True",
    "catches_everything": """
def evaluate(response):
    while True:
        try:
            while True: pass
        except BaseException:
            continue
""",
    "catastrophic_regex": """
import re
def evaluate(response): return bool(re.match("(a+)+$", "a" * 64 + "b")) or True
""",
    "huge_integer": "def evaluate(response): return 9 ** 9 ** 9 > 0",
    "ignores_sigterm": """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
def evaluate(response):
    while True: pass
""",
    "endless_str_of_exception": """
class Endless(Exception):
    def __str__(self):
        while True: pass
def evaluate(response): raise Endless
""",
    "endless_output": """
import os
def evaluate(response):
    while True:
        for descriptor in (1, 2): os.write(descriptor, b"x" * 65536)
""",
    "endless_del": """
class Phoenix:
    def __del__(self):
        while True: pass
def evaluate(response):
    Phoenix()
    return True
""",
}

BOMBS = {
    "recursion": "def evaluate(response): return evaluate(response)",
    "recursion_without_limit": """
import sys
sys.setrecursionlimit(10 ** 9)
def evaluate(response): return repr(nested()) and evaluate(response)
def nested():
    one = []
    for _ in range(10 ** 6): one = [one]
    return one
""",
    "memory_list": "def evaluate(response): return len([0] * 10 ** 10) > 0",
    "memory_doubling": """
def evaluate(response):
    text = "x"
    while True: text += text
""",
    "memory_swallowed": """
held = []
def evaluate(response):
    while True:
        try: held.append(bytearray(2 ** 20))
        except MemoryError: pass
""",
    "memory_map": """
import mmap
def evaluate(response):
    mmap.mmap(-1, 2 ** 36)
    return True
""",
    "fork_bomb": """
import os
def evaluate(response):
    while True: os.fork()
""",
    "detached_child": """
import os, time
def evaluate(response):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: time.sleep(60)
        os._exit(0)
    return True
""",
    "multiprocessing": """
import multiprocessing
def evaluate(response):
    process = multiprocessing.Process(target=print)
    process.start()
    return True
""",
    "thread_outlives_call": """
import threading, time
def evaluate(response):
    threading.Thread(target=time.sleep, args=(60,)).start()
    return True
""",
    "thread_bomb": """
import _thread, time
def evaluate(response):
    while True: _thread.start_new_thread(time.sleep, (60,))
""",
    "huge_output": "def evaluate(response):\n    for _ in range(64): print('x' * 10 ** 6)\n    return False",
    "parser_bomb": "def evaluate(response): return " + "(" * 5000 + "True" + ")" * 5000,
    "constant_folding_bomb": "def evaluate(response): return bool(" + "-" * 200_000 + "1)",
    "null_byte": "def evaluate(response): return True\0",
}

FILES = {
    "write_file": _TARGETS
    + """
import os
def evaluate(response):
    os.close(0)
    with open(targets(response)[1], "w") as file: file.write("x")
    return True
""",
    "write_in_working_folder": """
import os
def evaluate(response):
    os.close(0)
    with open("left_behind", "w") as file: file.write("x")
    return os.path.exists("left_behind")
""",
    "make_folder": _TARGETS
    + """
import os
def evaluate(response):
    os.mkdir(targets(response)[1])
    return True
""",
    "read_passwd": """
import os
def evaluate(response):
    os.close(0)
    return len(open("/etc/passwd").read()) > 0
""",
    "list_root": """
import os
def evaluate(response):
    os.close(0)
    return len(os.listdir("/")) > 0
""",
    "walk_up": """
import os
def evaluate(response):
    os.chdir("/" + "../" * 50)
    return any(os.path.exists(name) for name in ("etc", "usr", "proc"))
""",
    "read_own_interpreter": """
import os, sys
def evaluate(response):
    os.close(0)
    return len(open(sys.executable, "rb").read()) > 0
""",
    "proc": """
import os
def evaluate(response):
    os.close(0)
    for name in ("self/environ", "1/environ", "1/mem", "self/maps"):
        try: return len(open("/proc/" + name, "rb").read(100)) > 0
        except OSError: continue
    return False
""",
    "memory_file": """
import os
def evaluate(response):
    os.close(0)
    descriptor = os.memfd_create("x")
    return os.write(descriptor, b"x" * 2 ** 20) > 0
""",
    "environment": """
import os, ctypes
def evaluate(response):
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_char_p
    return bool(os.environ) or libc.getenv(b"EVOLVE_TEST_SECRET") is not None or libc.getenv(b"PATH") is not None
""",
}

NETWORK = {
    "connect": _TARGETS
    + """
import os, socket
def evaluate(response):
    os.close(0)
    with socket.create_connection(("127.0.0.1", targets(response)[0]), timeout=0.3) as sock: sock.send(b"x")
    return True
""",
    "datagram": _TARGETS
    + """
import os, socket
def evaluate(response):
    os.close(0)
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", targets(response)[0])) > 0
""",
    "name_resolution": """
import os, socket
def evaluate(response):
    os.close(0)
    return bool(socket.getaddrinfo("localhost.localdomain", 80))
""",
    "connect_through_ctypes": _TARGETS
    + """
import ctypes, os, struct
def evaluate(response):
    os.close(0)
    libc = ctypes.CDLL(None)
    sock = libc.socket(2, 1, 0)
    address = struct.pack("=HHI8x", 2, ((targets(response)[0] & 255) << 8) | (targets(response)[0] >> 8), 0x0100007F)
    return sock >= 0 and libc.connect(sock, address, 16) == 0
""",
    "io_uring": """
import ctypes
def evaluate(response): return ctypes.CDLL(None).syscall(425, 8, ctypes.create_string_buffer(120)) >= 0
""",
}

PROCESSES = {
    "sys_exit": "import sys\ndef evaluate(response): sys.exit(0)",
    "raise_keyboard_interrupt": "def evaluate(response): raise KeyboardInterrupt",
    "os_exit": "import os\ndef evaluate(response): os._exit(0)",
    "abort": "import os\ndef evaluate(response): os.abort()",
    "segfault": "import ctypes\ndef evaluate(response): return bool(ctypes.string_at(8)) or True",
    "kill_self": "import os\ndef evaluate(response):\n    os.kill(os.getpid(), 9)\n    return False",
    "stop_self": "import os\ndef evaluate(response):\n    os.kill(os.getpid(), 19)\n    return False",
    "kill_parent": """
import os
def evaluate(response):
    for number in (15, 2, 19, 9): os.kill(os.getppid(), number)
    return False
""",
    "kill_all": "import os\ndef evaluate(response):\n    os.kill(-1, 9)\n    return False",
    "kill_test": _TARGETS
    + """
import os
def evaluate(response):
    os.kill(targets(response)[2], 0)
    return True
""",
    "alarm_clock": """
import signal
def evaluate(response):
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    while True: pass
""",
    "subprocess": """
import os, subprocess
def evaluate(response):
    for descriptor in (0, 1, 2): os.close(descriptor)
    return subprocess.run(["/bin/true"]).returncode == 0
""",
    "shell": "import os\ndef evaluate(response): return os.system('true') == 0",
    "exec": "import os\ndef evaluate(response): os.execv('/bin/sh', ['sh', '-c', 'sleep 60'])",
    "spawn": "import os\ndef evaluate(response): return os.posix_spawn('/bin/true', ['true'], {}) > 0",
    "system_through_ctypes": "import ctypes\ndef evaluate(response): return ctypes.CDLL(None).system(b'true') == 0",
    "ptrace": """
import ctypes, os
def evaluate(response): return ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0
""",
    "namespaces": """
import ctypes
def evaluate(response):
    libc = ctypes.CDLL(None)
    libc.unshare(0x10020000)
    return libc.mount(b"tmpfs", b"/", b"tmpfs", 0, None) == 0
""",
    "raise_limits": """
import resource
def evaluate(response):
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
        try: resource.setrlimit(kind, (2 ** 40, 2 ** 40))
        except (OSError, ValueError): continue
        return True
    return False
""",
    "set_user": """
import os
def evaluate(response):
    os.setuid(0)
    return True
""",
    "at_exit": _TARGETS
    + """
import atexit
def evaluate(response):
    path = targets(response)[1]
    atexit.register(lambda: open(path, "w"))
    return False
""",
}

INTERPRETER = {
    "patch_builtins": """
import builtins
def lie(*arguments): return True
for name in ("len", "isinstance", "callable", "bytes", "type", "str", "compile"): setattr(builtins, name, lie)
def evaluate(response): return False
""",
    "patch_os": """
import os
os._exit = os.write = os.close = os.dup2 = lambda *arguments: 0
def evaluate(response): return False
""",
    "subclasses": """
def evaluate(response):
    for kind in ().__class__.__base__.__subclasses__():
        space = getattr(getattr(kind, "__init__", None), "__globals__", {})
        if "system" in space: return space["system"]("true") == 0
        if "sys" in space: return space["sys"].modules["os"].system("true") == 0
    return False
""",
    "frames": """
import sys
def evaluate(response):
    frame = sys._getframe()
    while frame is not None:
        for name in ("imports", "limits", "inputs", "source"):
            if name in frame.f_locals: frame.f_globals[name] = None
        for name in ("supervisor", "sock"):
            try: frame.f_locals[name].check = frame.f_locals[name].send = None
            except (KeyError, AttributeError): pass
        frame = frame.f_back
    return False
""",
    "collector": """
import gc, socket
def evaluate(response):
    reached = 0
    for thing in gc.get_objects():
        if isinstance(thing, socket.socket): reached += thing.send(b"x")
    return reached > 0
""",
    "pickle": """
import pickle
def evaluate(response): return pickle.loads(b"cos\\nsystem\\n(S'true'\\ntR.") == 0
""",
    "unpickles_on_the_way_out": """
import os
class Trap:
    def __reduce__(self): return os.system, ("true",)
def evaluate(response): return Trap()
""",
    "deep_copied_generator": """
import copy
def evaluate(response): return copy.deepcopy(one for one in response)
""",
    "lying_class": """
class Lie:
    __class__ = bool
    def __bool__(self): return True
    def __eq__(self, other): return True
    def __hash__(self): return hash(True)
def evaluate(response): return Lie()
""",
    "one_is_not_true": "def evaluate(response): return 1",
    "word_is_not_true": "def evaluate(response): return 'true'",
    "import_hook": """
import sys
class Hook:
    def find_spec(self, name, path=None, target=None): raise SystemExit
sys.meta_path.insert(0, Hook())
sys.modules.clear()
def evaluate(response): return False
""",
    "import_from_url": "import urllib.request\ndef evaluate(response): return True",
    "trace": """
import sys
def tracer(frame, event, argument):
    frame.f_locals
    return tracer
sys.settrace(tracer)
sys.setprofile(tracer)
def evaluate(response): return False
""",
    "forge_on_stdout": """
import sys
def evaluate(response):
    for line in ('True', '{"holds": true}', '[true]', 'T'): print(line, flush=True)
    sys.__stdout__.buffer.write(b"T\\0" * 100)
    return False
""",
    "forge_many_verdicts": """
import os
def evaluate(response):
    os.write(3, b"T\\0" * 50)
    while True: pass
""",
    "forge_nonsense": """
import os
def evaluate(response):
    os.write(3, b"\\xff\\x10 not a verdict at all")
    while True: pass
""",
    "forge_on_other_descriptors": """
import os
def evaluate(response):
    reached = 0
    for descriptor in range(4, 4096):
        try: reached += os.write(descriptor, b"\\0\\0\\0\\6[true]" * 100)
        except OSError: pass
    return reached > 0
""",
    "forge_with_a_guessed_secret": """
import os
def evaluate(response):
    reached = 0
    for descriptor in range(4, 4096):
        try: reached += os.write(descriptor, (b"\\0" * 32 + b"\\0\\0\\0\\6[true]") * 100)
        except OSError: pass
    return reached > 0
""",
    "look_at_other_descriptors": """
import os
def evaluate(response):
    for descriptor in range(4, 4096):
        try: return os.lseek(descriptor, 0, 1) >= 0
        except OSError as error:
            if error.errno != 9: return True
    return False
""",
    "find_the_secret": """
import mmap, sys
def evaluate(response):
    frame, found = sys._getframe(), b""
    while frame is not None:
        for thing in [*frame.f_locals.values(), *frame.f_globals.values()]:
            for inner in [thing, *vars(thing).values()] if hasattr(thing, "__dict__") else [thing]:
                if isinstance(inner, (mmap.mmap, memoryview, bytearray)): found += bytes(inner)
        frame = frame.f_back
    return any(found)
""",
    "close_everything": """
import os
def evaluate(response):
    os.closerange(0, 4096)
    while True: pass
""",
    "swap_descriptors": """
import os
def evaluate(response):
    os.dup2(1, 3)
    while True: pass
""",
}

NEIGHBOURS = {
    "limit_server": """
import os, resource
def evaluate(response):
    limited = 0
    for pid in {1, os.getppid()} - {0, os.getpid()}:
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_CORE):
            try: resource.prlimit(pid, kind, (1, 1))
            except (OSError, ValueError): continue
            limited += 1
    return limited > 0
""",
    "slow_server": """
import os
def evaluate(response):
    slowed = 0
    for which, who in ((os.PRIO_PGRP, 0), (os.PRIO_USER, 0), (os.PRIO_PROCESS, os.getppid())):
        try: os.setpriority(which, who, 19)
        except OSError: pass
    for pid in {1, os.getppid()} - {0, os.getpid()}:
        try: slowed += os.getpriority(os.PRIO_PROCESS, pid) == 19
        except OSError: pass
        try: os.sched_setaffinity(pid, {0})
        except OSError: continue
        slowed += 1
    return slowed > 0
""",
    "kill_group": """
import os
def evaluate(response):
    for number in (15, 2, 19, 9): os.kill(0, number)
    return False
""",
    "kill_neighbours": """
import os, signal
def evaluate(response):
    killed = 0
    for pid in set(range(1, 40)) - {os.getpid()}:
        try: signal.pidfd_send_signal(os.pidfd_open(pid), 9)
        except OSError: pass
        try: os.kill(pid, 9)
        except OSError: continue
        killed += 1
    return killed > 1
""",
    "read_server_memory": """
import ctypes, os
def evaluate(response):
    libc = ctypes.CDLL(None)
    class Piece(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
    held = ctypes.create_string_buffer(8)
    here, there = Piece(ctypes.addressof(held), 8), Piece(id(os), 8)
    server = os.getppid()
    return server > 0 and libc.process_vm_readv(server, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) > 0
""",
    "shared_memory": """
import ctypes
def evaluate(response): return ctypes.CDLL(None).shmget(7, 2 ** 20, 0o1600) >= 0
""",
    "private_shared_memory": """
import ctypes
def evaluate(response): return ctypes.CDLL(None).shmget(0, ctypes.c_size_t(2 ** 36), 0o10600) >= 0
""",
    "semaphores": """
import ctypes
def evaluate(response): return ctypes.CDLL(None).semget(7, 100, 0o1600) >= 0
""",
    "message_queue": """
import ctypes
def evaluate(response): return ctypes.CDLL(None).msgget(7, 0o1600) >= 0
""",
    "posix_message_queue": """
import ctypes, os
def evaluate(response):
    os.close(0)
    return ctypes.CDLL(None).syscall({"x86_64": 240}.get(os.uname().machine, 180), b"x", 0o102, 0o600, 0) >= 0
""",
    "user_namespace": """
import ctypes
def evaluate(response): return ctypes.CDLL(None).unshare(0x10000000) == 0
""",
    "other_sockets": """
import os, socket
def evaluate(response):
    os.close(0)
    for family, kind in ((1, 1), (16, 3), (17, 3), (38, 5), (40, 1)):
        try: return socket.socket(family, kind, 0).fileno() >= 0
        except OSError: continue
    return False
""",
    "look_without_opening": """
import os
def evaluate(response): return any(os.path.exists(name) for name in ("/etc/passwd", "/proc/1", "/dev/shm", "/tmp"))
""",
}
"""What a function might do to those that run beside it or after it, and what is left where nothing can be opened."""

HOSTILE = RUNAWAYS | BOMBS | FILES | NETWORK | PROCESSES | INTERPRETER | NEIGHBOURS
