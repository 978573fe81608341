"""Frames in, frames out, and what becomes of clients that do not behave."""

import socket
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import pytest

from modiste.serve import protocol, switchboard
from modiste.serve.switchboard import Gone, Heard, Switchboard


@pytest.fixture
def board(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # A relative path is a short one, which sockets need.
    inbox = SimpleQueue()
    one = Switchboard(Path("s"), inbox, status=lambda: {"state": "ready"})
    one.start()
    one.inbox = inbox
    yield one
    one.close(flush_s=0.1)


@pytest.fixture
def client(board):
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect("s")
        yield peer


def receive(peer):
    unframer = protocol.Unframer()
    while data := peer.recv(1 << 16):
        for message in unframer.feed(data):
            return message
    return None


def test_a_frame_is_heard_with_its_connection_and_the_answer_finds_back(board, client):
    client.sendall(protocol.encode({"op": "abort", "id": 4}))
    heard = board.inbox.get(timeout=5)
    assert isinstance(heard, Heard)
    assert heard.message == {"op": "abort", "id": 4}
    board.send(heard.connection, {"events": []})
    assert receive(client) == {"events": []}


def test_status_is_answered_without_the_engine(board, client):
    client.sendall(protocol.encode({"op": "status", "id": 7}))
    assert receive(client) == {"events": [{"id": 7, "status": {"state": "ready"}}]}
    assert board.inbox.empty()


def test_a_client_that_hangs_up_is_gone(board, client):
    client.sendall(protocol.encode({"op": "abort", "id": 1}))
    connection = board.inbox.get(timeout=5).connection
    client.close()
    assert board.inbox.get(timeout=5) == Gone(connection)
    board.send(connection, {"events": []})  # Nobody is there; nothing happens.


def test_a_client_that_sends_no_frames_is_hung_up_on(board, client):
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert client.recv(10) == b""
    assert isinstance(board.inbox.get(timeout=5), Gone)


def test_a_client_that_does_not_read_is_hung_up_on(board, client, monkeypatch):
    monkeypatch.setattr(switchboard, "MAX_UNREAD_BYTES", 1_000_000)
    client.sendall(protocol.encode({"op": "abort", "id": 1}))
    connection = board.inbox.get(timeout=5).connection
    for _ in range(20):
        board.send(connection, {"events": ["x" * 200_000]})
    assert board.inbox.get(timeout=5) == Gone(connection)


def test_closing_sends_what_is_queued_first(board, client):
    client.sendall(protocol.encode({"op": "abort", "id": 1}))
    connection = board.inbox.get(timeout=5).connection
    text = "x" * 3_000_000  # More than the kernel buffers.
    board.send(connection, {"events": [text]})
    time.sleep(0.05)
    closing = threading.Thread(target=board.close)
    closing.start()
    assert receive(client) == {"events": [text]}
    closing.join(5)
