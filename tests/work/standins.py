"""Parts for the supervisor's tests: a front that answers, a part that obeys, parts that do not."""

FRONT = """
import http.server, json, os, pathlib, signal, sys
run = pathlib.Path(os.environ["MODISTE_HOME"]) / "run"
(run.parent / "admin.key").write_text("mod_x")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if list(run.parent.glob("started-*")) else 503)
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')
    def log_message(self, *a): pass
port = int(os.environ["MODISTE_PORT"])
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
url = f"http://127.0.0.1:{server.server_port}"
signal.signal(signal.SIGTERM, lambda *a: sys.exit(0))
(run / "server.json").write_text(json.dumps({"pid": os.getpid(), "url": url}))
print("2026-11-20 INFO front: listening", flush=True)
server.serve_forever()
"""

OBEDIENT = """
import os, pathlib, signal, sys, time
home = pathlib.Path(os.environ["MODISTE_HOME"])
def end(*a):
    (home / f"drained-{os.getpid()}").touch(); sys.exit(0)
signal.signal(signal.SIGTERM, end)
(home / f"started-{os.getpid()}").touch()
print("2026-11-20 WARNING part: all is well", flush=True)
while True: time.sleep(0.05)
"""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True: time.sleep(0.05)
"""

BROKEN = """
import sys
print("cannot read the configuration", flush=True); sys.exit(3)
"""
