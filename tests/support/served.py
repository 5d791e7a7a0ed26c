"""How the servers of tests answer: in threads of their own, for as long as a test wants them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import TCPServer

_POLL_S = 0.02


@contextmanager
def served(server: TCPServer) -> Iterator[str]:
    """Serve while the context is open, on this machine alone; gives the server's URL."""
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
