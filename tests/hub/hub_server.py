"""A hub on two loopback ports that speaks the protocols of ModelScope, Hugging Face, openMind, Ollama, git with LFS
and plain files, over folders ROOT/ORG/NAME. Large files are given out by signed links to the second port, as the hubs'
own CDNs do. Faults and lies are set by the test; every request is logged. Standard library only."""
import dataclasses
import functools
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

LARGE_BYTES = 64 << 10  # from here on a file is in LFS, and given out by a signed link
SECRET = b"of this test alone"


@dataclasses.dataclass
class Fault:
    """Something that goes wrong with requests whose path has `match` in it, `times` times, then no more."""
    match: str
    kind: str  # reset, stall, status, short, ignore_range, wrong_start, flip, etag, expired, longer, gzip
    times: int = 1
    after: int = 0  # bytes of the body that still come
    status: int = 503
    headers: dict = dataclasses.field(default_factory=dict)
    seconds: float = 0


@dataclasses.dataclass
class Seen:
    method: str
    path: str
    headers: dict
    is_cdn: bool
    status: int = 0
    first: int = 0  # of the bytes that were sent
    n_sent: int = 0


@functools.lru_cache(maxsize=None)
def _hashes(path, _size, _mtime):
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % _size)
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            sha256.update(chunk)
            git.update(chunk)
    return sha256.hexdigest(), git.hexdigest()


def hashes_of(path):
    info = os.stat(path)
    return _hashes(str(path), info.st_size, info.st_mtime_ns)


class Hub:
    """The server. `url` is the hub, `cdn_url` where its links lead."""

    def __init__(self, root, page_size=1000, link_seconds=300, tls=None, host="127.0.0.1", ports=(0, 0), public=None):
        self.root = pathlib.Path(root)
        self.page_size, self.link_seconds = page_size, link_seconds
        self.faults, self.log = [], []
        self.lies = {}       # file name: what its entry in a listing says otherwise
        self.extra = []      # entries of listings that are no files: {"path": …, "size": …, "sha256": …}
        self.token = None    # where set, nothing is given without it
        self.gated = False   # everything answers as a gated repository does
        self.next_link = None  # in place of the next page's
        self.seconds_per_mib = 0  # of one connection
        self.lock = threading.Lock()
        self.servers = []
        urls = []
        for port, is_cdn in zip(ports, (False, True)):
            server = _Server((host, port), functools.partial(_Handler, self, is_cdn))
            if tls:
                server.socket = tls.wrap_socket(server.socket, server_side=True)
            self.servers.append(server)
            urls.append(f"{'https' if tls else 'http'}://{public or host}:{server.server_port}")
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.url, self.cdn_url = urls

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def fault(self, *args, **kwargs):
        self.faults.append(Fault(*args, **kwargs))

    def take_fault(self, path):
        with self.lock:
            for fault in self.faults:
                if fault.match in path and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def files(self, repo):
        """Entries as a listing has them, lies and all."""
        folder = self.root / repo
        if not folder.is_dir() or repo.count("/") != 1 or ".." in repo:
            return None
        entries = []
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and not name.startswith(".git/"):
                sha256, git = hashes_of(path)
                entry = {"path": name, "size": path.stat().st_size, "sha256": sha256, "git": git}
                entries.append(entry | self.lies.get(name, {}))
        return entries + self.extra

    def commit(self, repo):
        return hashlib.sha1(json.dumps(self.files(repo)).encode()).hexdigest()

    def signed(self, path):
        expires = time.time() + self.link_seconds
        name = urllib.parse.quote(str(path.relative_to(self.root)))
        what = f"{name} {expires}"
        mark = hmac.new(SECRET, what.encode(), "sha256").hexdigest()
        return f"{self.cdn_url}/signed/{name}?expires={expires}&signature={mark}"


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients go away


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def __init__(self, hub, is_cdn, *args):
        self.hub, self.is_cdn, self.seen = hub, is_cdn, None
        super().__init__(*args)

    def log_message(self, *_):
        pass

    def setup(self):
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        super().setup()

    # ---- one request ----
    def do_GET(self):
        self.seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, self.is_cdn)
        self.hub.log.append(self.seen)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        query = {k: v[-1] for k, v in urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}
        fault = self.hub.take_fault(self.path)
        if fault and fault.kind == "status":
            return self.text(fault.status, b"a fault of this test", fault.headers)
        if fault and fault.kind == "gzip":
            return self.text(200, b"\x1f\x8b" + b"\0" * 2000, {"Content-Encoding": "gzip"})
        if self.is_cdn:
            return self.cdn(path, url.path, query, fault)
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self.text(401, b"no")
        if self.hub.gated:
            return self.text(403, b"gated", {"X-Error-Code": "GatedRepo"})
        for pattern, handle in ROUTES:
            if match := re.fullmatch(pattern, path):
                return handle(self, query, fault, *match.groups())
        return self.text(404, b"no such thing", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_POST = do_GET

    def text(self, status, body, headers=None):
        self.seen.status = status
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def json(self, value, headers=None, status=200, kind="application/json"):
        self.text(status, json.dumps(value).encode(), {"Content-Type": kind} | (headers or {}))

    # ---- bytes ----
    def cdn(self, path, quoted, query, fault):
        name = path.removeprefix("/signed/")
        what = f"{quoted.removeprefix('/signed/')} {query.get('expires')}"
        mark = hmac.new(SECRET, what.encode(), "sha256").hexdigest()
        is_expired = float(query.get("expires", 0)) < time.time() or (fault is not None and fault.kind == "expired")
        if is_expired or not hmac.compare_digest(mark, query.get("signature", "")):
            return self.text(403, b"<Error><Code>AccessDenied</Code></Error>")
        return self.bytes_of(self.hub.root / name, fault)

    def bytes_of(self, path, fault, headers=None):
        """The file, or the part of it that is asked for, with what the fault does to it."""
        size = path.stat().st_size
        etag = f'"{hashes_of(path)[0][:32]}"'
        kind = fault.kind if fault else ""
        if kind == "etag":
            etag = f'"{hashlib.md5(os.urandom(8)).hexdigest()}"'
        first, last, status = 0, size - 1, 200
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        guard = self.headers.get("If-Range")
        if asked and kind != "ignore_range" and (not guard or guard == etag):
            first, status = int(asked[1]), 206
            last = min(int(asked[2] or size - 1), size - 1)
            if first >= size:
                return self.text(416, b"", {"Content-Range": f"bytes */{size}"})
        if kind == "wrong_start" and status == 206:
            first += 1
        length = last - first + 1 + (7 if kind == "longer" else 0)
        self.seen.status, self.seen.first = status, first
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", etag)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.flush()
        if self.command != "HEAD":
            self.send_file(path, first, last - first + 1, fault)
        return None

    def send_file(self, path, first, length, fault):
        kind = fault.kind if fault else ""
        n_before = min(fault.after, length) if kind in ("reset", "stall", "short", "flip") else length
        with open(path, "rb") as file:
            try:
                self.send_range(file, first, n_before)
                if kind == "flip" and n_before < length:
                    byte = os.pread(file.fileno(), 1, first + n_before)
                    self.connection.sendall(bytes([byte[0] ^ 1]))
                    self.send_range(file, first + n_before + 1, length - n_before - 1)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
                return
        if kind == "longer":
            self.wfile.write(b"padding")
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        if kind == "stall":
            time.sleep(fault.seconds)
            self.close_connection = True
        if kind == "short":
            self.close_connection = True

    def send_range(self, file, first, length):
        use_sendfile = not hasattr(self.connection, "context")  # TLS has no such call
        pause = self.hub.seconds_per_mib
        while length > 0:
            if pause:
                time.sleep(pause / 8)
            if use_sendfile:
                n = os.sendfile(self.connection.fileno(), file.fileno(), first, min(length, 1 << (17 if pause else 22)))
            else:
                chunk = os.pread(file.fileno(), min(length, 1 << 18), first)
                self.connection.sendall(chunk)
                n = len(chunk)
            if n == 0:
                return
            first, length = first + n, length - n
            self.seen.n_sent += n

    def give(self, repo, name, fault, headers=None):
        """A file of a repository: small ones here, large ones by a link."""
        path = self.hub.root / repo / name
        if not path.is_file() or ".." in name:
            return self.text(404, b"no such file", {"X-Error-Code": "EntryNotFound"})
        if path.stat().st_size < LARGE_BYTES:
            return self.bytes_of(path, fault, headers)
        return self.text(302, b"", {"Location": self.hub.signed(path)} | (headers or {}))

    # ---- ModelScope ----
    def modelscope_files(self, query, _fault, repo):
        entries = self.hub.files(repo)
        if entries is None:
            return self.json({"Code": 10010205001, "Success": False, "Message": "not found", "Data": None}, status=404)
        root = query.get("Root", "").strip("/")
        is_recursive = query.get("Recursive", "").lower() == "true"
        files, folders = [], set()
        for entry in entries:
            path = entry["path"]
            if root and not path.startswith(root + "/"):
                continue
            inner = path[len(root) + 1:] if root else path
            for end in (m.start() for m in re.finditer("/", inner)):
                folders.add(((root + "/") if root else "") + inner[:end])
            if "/" in inner and not is_recursive:
                continue
            files.append({"Name": path.rsplit("/", 1)[-1], "Path": path, "Type": "blob", "Size": entry["size"],
                          "Sha256": entry["sha256"], "Revision": self.hub.commit(repo), "IsLFS": entry["size"] >= LARGE_BYTES,
                          "CommittedDate": 1700000000, "Mode": "100644"})
        for folder in sorted(folders):
            if is_recursive or "/" not in folder[len(root) + 1 if root else 0:]:
                files.append({"Name": folder.rsplit("/", 1)[-1], "Path": folder, "Type": "tree", "Size": 0, "Sha256": ""})
        return self.json({"Code": 200, "Success": True, "Message": "", "Data": {"Files": files[:3000]}})

    def modelscope_file(self, query, fault, repo):
        return self.give(repo, query.get("FilePath", ""), fault)

    def modelscope_revisions(self, _query, _fault, _repo):
        return self.json({"Code": 200, "Success": True, "Data": {"RevisionMap": {
            "Branches": [{"Revision": "master", "CreatedAt": 1700000000}], "Tags": []}}})

    def modelscope_info(self, _query, _fault, repo):
        owner, name = repo.split("/")
        return self.json({"Code": 200, "Success": True, "Data": {"Path": owner, "Name": name, "Revision": "master"}})

    # ---- Hugging Face ----
    def huggingface_info(self, _query, _fault, repo, _revision=None):
        entries = self.hub.files(repo)
        if entries is None:
            return self.json({"error": "not found"}, {"X-Error-Code": "RepoNotFound"}, status=404)
        return self.json({"id": repo, "modelId": repo, "sha": self.hub.commit(repo), "private": False, "gated": False,
                          "disabled": False, "downloads": 0, "likes": 0, "tags": [],
                          "siblings": [{"rfilename": entry["path"]} for entry in entries]})

    def huggingface_tree(self, query, _fault, repo, revision, _folder=None):
        entries = self.hub.files(repo)
        if entries is None:
            return self.json({"error": "not found"}, {"X-Error-Code": "RepoNotFound"}, status=404)
        first = int(query.get("cursor", 0))
        page = entries[first:first + self.hub.page_size]
        items = []
        for entry in page:
            item = {"type": "file", "path": entry["path"], "size": entry["size"], "oid": entry.get("git", "")}
            if entry["size"] >= LARGE_BYTES:
                item |= {"oid": "0" * 40, "lfs": {"oid": entry["sha256"], "size": entry["size"], "pointerSize": 134}}
            items.append(item)
        headers = {}
        if first + len(page) < len(entries) or self.hub.next_link:
            link = self.hub.next_link or (f"{self.hub.url}/api/models/{repo}/tree/{revision}?recursive=True&expand=False"
                                          f"&cursor={first + len(page)}")
            headers["Link"] = f'<{link}>; rel="next"'
        return self.json(items, headers)

    def huggingface_file(self, _query, fault, repo, _revision, name):
        path = self.hub.root / repo / name
        if not path.is_file():
            return self.text(404, b"no such file", {"X-Error-Code": "EntryNotFound"})
        sha256, git = hashes_of(path)
        size = path.stat().st_size
        headers = {"X-Repo-Commit": self.hub.commit(repo)}
        if size >= LARGE_BYTES:
            headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(size)}
        elif self.command == "HEAD":
            self.seen.status = 200
            self.send_response(200)
            for key, value in (headers | {"ETag": f'"{git}"', "Content-Length": str(size)}).items():
                self.send_header(key, value)
            return self.end_headers()
        return self.give(repo, name, fault, headers)

    # ---- openMind ----
    def openmind_tree(self, query, _fault, repo):
        entries = self.hub.files(repo)
        if entries is None:
            return self.json({"code": "not_found", "msg": "not found", "data": None}, status=404)
        root = query.get("path", "")
        tree, folders = [], set()
        for entry in entries:
            path = entry["path"]
            if root and not path.startswith(root + "/"):
                continue
            inner = path[len(root) + 1:] if root else path
            if "/" in inner:
                folders.add(((root + "/") if root else "") + inner.split("/")[0])
                continue
            is_lfs = entry["size"] >= LARGE_BYTES
            tree.append({"type": "file", "name": inner, "path": path, "size": entry["size"], "is_lfs": is_lfs,
                         "etag": entry["sha256"] if is_lfs else entry.get("git", "")})
        tree += [{"type": "dir", "name": folder.rsplit("/", 1)[-1], "path": folder, "size": 0} for folder in sorted(folders)]
        return self.json({"code": "", "msg": "", "data": {"tree": tree, "last_commit": {"commit": {
            "commit_sha": self.hub.commit(repo), "message": "all", "created": "2025-01-01T00:00:00Z"}}}})

    def openmind_info(self, query, _fault, repo):
        path = self.hub.root / repo / query.get("path", "")
        if not path.is_file():
            return self.json({"code": "not_found", "msg": "not found", "data": None}, status=404)
        sha256, git = hashes_of(path)
        size = path.stat().st_size
        name = query["path"]
        return self.json({"code": "", "msg": "", "data": {
            "type": "file", "path": name, "name": path.name, "size": size, "is_lfs": size >= LARGE_BYTES,
            "etag": sha256 if size >= LARGE_BYTES else git, "branch_last_commit": self.hub.commit(repo),
            "url": f"{self.hub.url}/api/v1/file/{repo}/main/media/{urllib.parse.quote(name)}"}})

    def openmind_file(self, _query, fault, repo, _revision, name):
        return self.give(repo, name, fault)

    def openmind_model(self, _query, _fault, repo):
        owner, name = repo.split("/")
        return self.json({"code": "", "msg": "", "data": {"id": "1", "name": name, "owner": owner, "visibility": "public",
                                                          "default_branch": "main", "created_at": 0, "updated_at": 0}})

    # ---- Ollama ----
    def ollama_manifest(self, _query, _fault, name, tag):
        folder = self.hub.root / name / tag if (self.hub.root / name / tag).is_dir() else None
        if folder is None:
            return self.text(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        layers = []
        for path, kind in (("model.gguf", "model"), ("template.txt", "template"), ("license.txt", "license")):
            if (folder / path).is_file():
                layers.append({"mediaType": f"application/vnd.ollama.image.{kind}", "size": (folder / path).stat().st_size,
                               "digest": "sha256:" + hashes_of(folder / path)[0]} | self.hub.lies.get(path, {}))
        return self.json({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                          "layers": layers}, kind="text/plain")

    def ollama_blob(self, _query, _fault, name, digest):
        for path in (self.hub.root / name).rglob("*"):
            if path.is_file() and hashes_of(path)[0] == digest:
                return self.text(307, b"", {"Location": self.hub.signed(path)})
        return self.text(404, b"no such blob")

    # ---- git with LFS ----
    def git(self, _query, _fault, repo, _rest):
        url = urllib.parse.urlsplit(self.path)
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.hub.root), "GIT_HTTP_EXPORT_ALL": "1",
               "REQUEST_METHOD": self.command, "PATH_INFO": urllib.parse.unquote(url.path), "QUERY_STRING": url.query,
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(self.body)),
               "REMOTE_ADDR": "127.0.0.1", "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        env |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        done = subprocess.run(["git", "http-backend"], input=self.body, env=env, capture_output=True, check=False)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        return self.text(status, body, headers)

    def lfs_batch(self, _query, _fault, repo):
        objects = []
        for asked in json.loads(self.body)["objects"]:
            found = [path for path in (self.hub.root / repo).rglob("*")
                     if path.is_file() and path.stat().st_size == asked["size"] and hashes_of(path)[0] == asked["oid"]]
            if found:
                objects.append(asked | {"authenticated": True, "actions": {"download": {
                    "href": self.hub.signed(found[0]), "header": {"X-Test": "lfs"}, "expires_in": self.hub.link_seconds}}})
            else:
                objects.append(asked | {"error": {"code": 404, "message": "no such object"}})
        return self.json({"transfer": "basic", "objects": objects, "hash_algo": "sha256"},
                         kind="application/vnd.git-lfs+json")

    # ---- plain files ----
    def plain(self, _query, fault, name):
        path = self.hub.root / name
        return self.bytes_of(path, fault) if path.is_file() and ".." not in name else self.text(404, b"no such file")


REPO = r"([\w.-]+/[\w.-]+)"
ROUTES = [
    (rf"/api/v1/models/{REPO}/repo/files", _Handler.modelscope_files),
    (rf"/api/v1/models/{REPO}/repo", _Handler.modelscope_file),
    (rf"/api/v1/models/{REPO}/revisions", _Handler.modelscope_revisions),
    (rf"/api/v1/models/{REPO}", _Handler.modelscope_info),
    (rf"/api/models/{REPO}", _Handler.huggingface_info),
    (rf"/api/models/{REPO}/revision/(.+)", _Handler.huggingface_info),
    (rf"/api/models/{REPO}/tree/([^/]+)(?:/(.*))?", _Handler.huggingface_tree),
    (rf"/{REPO}/resolve/([^/]+)/(.+)", _Handler.huggingface_file),
    (rf"/api/v1/file/{REPO}/info/lfs/objects/batch", _Handler.lfs_batch),
    (rf"/api/v1/file/{REPO}/info", _Handler.openmind_info),
    (rf"/api/v1/file/{REPO}/([^/]+)/media/(.+)", _Handler.openmind_file),
    (rf"/api/v1/file/{REPO}", _Handler.openmind_tree),
    (rf"/api/v1/model/{REPO}", _Handler.openmind_model),
    (rf"/v2/{REPO}/manifests/([^/]+)", _Handler.ollama_manifest),
    (rf"/v2/{REPO}/blobs/sha256:([0-9a-f]+)", _Handler.ollama_blob),
    (rf"/{REPO}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    (rf"/{REPO}\.git/(.*)", _Handler.git),
    (r"/files/(.+)", _Handler.plain),
]
