"""What a base takes and gives back."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from modiste.nn.shape import read_shape
from modiste.serve.lane import Room, lane_bytes, load_lane, n_cells
from modiste.serve.scheduler import Admission, Key, Sequence
from modiste.serve.sequence import Generate, Sampling

ROOM = Room(max_sequences=2, cells_bytes=2**24, adapters_bytes=2**24, prefix_bytes=2**20)


@pytest.fixture(scope="module")
def base(random_base):
    return random_base("mistral", max_position_embeddings=96)


@pytest.fixture
def lane(base):
    with ThreadPoolExecutor(1) as pool:
        yield load_lane(base, room=ROOM, pool=pool, wake=lambda: None)


def sequence(base, n_prompt, max_tokens):
    ids = tuple(range(n_prompt))
    return Sequence(
        Key(1, 1), Generate("a", str(base), ids, sampling=Sampling(max_tokens=max_tokens)), seed=0
    )


def test_cells_for_the_prompt_and_a_beginning_are_taken_and_come_back(lane, base):
    one = sequence(base, 10, 80)
    free = lane.slots.n_free
    assert lane.start(one) is Admission.STARTED
    assert one.end == 90
    assert free - lane.slots.n_free == 80  # 10 and 64, in units of 16.
    one.n_cached = 80
    assert lane.grow(one)
    assert free - lane.slots.n_free == 96
    lane.stop(one)
    assert lane.slots.n_free == free
    assert one.slot is None


def test_who_finds_no_cells_waits(lane, base):
    running = []
    while lane.start(one := sequence(base, 90, None)) is Admission.STARTED:
        running.append(one)
    assert len(running) == 2  # Both places that `ROOM` has, at full length.
    assert one.slot is None
    lane.stop(running[0])
    assert lane.start(one) is Admission.STARTED


def test_a_memory_smaller_than_the_context_shortens_the_context(base):
    shape = read_shape(base)
    room = ROOM._replace(cells_bytes=50 * shape.kv_bytes_per_token)
    assert n_cells(shape, room) == 50
    with ThreadPoolExecutor(1) as pool:
        lane = load_lane(base, room=room, pool=pool, wake=lambda: None)
    assert lane.context == 48
    assert lane.start(sequence(base, 40, None)) is Admission.STARTED


@pytest.mark.parametrize("family", ["mistral", "mixtral"])
def test_what_a_base_takes_is_known_before_it_is_loaded(random_base, family):
    base = random_base(family, max_position_embeddings=96)
    shape = read_shape(base)
    weights = sum(
        file.stat().st_size for file in base.glob("*.safetensors")
    )  # float32 as saved; the embedding is kept a second time at most.
    embedding = 4 * shape.vocab_size * shape.hidden_size
    cells = n_cells(shape, ROOM) * shape.kv_bytes_per_token
    all_of_it = weights + cells + ROOM.prefix_bytes
    assert all_of_it <= lane_bytes(base, ROOM) + 10_000
    assert lane_bytes(base, ROOM) <= all_of_it + embedding
