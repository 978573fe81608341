"""Order, pieces and promises of the scheduler, without any tensor."""

import pytest

from modiste.serve.scheduler import (
    GRANULE,
    MOST_PIECES,
    STEP_TARGET_S,
    Admission,
    Key,
    Scheduler,
    Sequence,
    end_of,
)
from modiste.serve.sequence import Generate, Sampling, Score


def sequence(name, length=10, base="/base", adapter=None, max_tokens=5, owner=""):
    request = Generate(
        name,
        base,
        tuple(range(length)),
        adapter=adapter,
        sampling=Sampling(max_tokens=max_tokens),
        owner=owner,
    )
    return Sequence(Key(1, 1), request, seed=0, end=length + max_tokens)


def running(*sequences, **settings):
    scheduler = Scheduler(**({"max_sequences": 8, "max_waiting": 8} | settings))
    for one in sequences:
        scheduler.add(one)
    scheduler.admit(lambda one: Admission.STARTED)
    return scheduler


def waiting(scheduler, *sequences):
    for one in sequences:
        scheduler.add(one)
    return scheduler


def read(one):
    one.n_cached = len(one.request.ids)
    one.add(1)
    return one


def test_places_go_in_order_of_arrival():
    scheduler = Scheduler(max_sequences=2, max_waiting=9)
    waiting(scheduler, *map(sequence, "abc"))
    offered = []

    def start(one):
        offered.append(one.request.id)
        return Admission.STARTED

    scheduler.admit(start)
    assert offered == ["a", "b"]
    assert [s.request.id for s in scheduler.waiting] == ["c"]


def test_who_waits_for_memory_is_not_overtaken_but_who_waits_for_a_load_is():
    scheduler = Scheduler(max_sequences=9, max_waiting=9)
    waiting(
        scheduler,
        sequence("loads"),
        sequence("big"),
        sequence("small"),
        sequence("other", base="/other"),
    )
    answers = {"loads": Admission.LOADING, "big": Admission.NO_ROOM}
    scheduler.admit(lambda one: answers.get(one.request.id, Admission.STARTED))
    assert [s.request.id for s in scheduler.running] == ["other"]
    assert [s.request.id for s in scheduler.waiting] == ["loads", "big", "small"]


def test_every_running_sequence_moves_one_token_per_step():
    scheduler = running(*(read(sequence(str(n))) for n in range(5)), sequence("new", length=1000))
    (plan,) = scheduler.plans()
    assert len(plan.generating) == 5
    assert plan.pieces


def test_pieces_end_at_multiples_counted_from_the_start_of_the_prompt():
    one = sequence("a", length=150)
    scheduler = running(one)
    scheduler.row_s = 1e-6
    (plan,) = scheduler.plans()
    assert [(p.start, p.end) for p in plan.pieces] == [(0, 64), (64, 128), (128, 150)]
    one.n_cached = 64
    (plan,) = scheduler.plans()
    assert [(p.start, p.end) for p in plan.pieces] == [(64, 128), (128, 150)]


def test_slow_steps_take_fewer_pieces_but_at_least_one():
    scheduler = running(sequence("a", length=5000))
    scheduler.row_s = 1e-9
    assert len(next(iter(scheduler.plans())).pieces) == MOST_PIECES
    scheduler.measured(next(iter(scheduler.plans())), 1000.0)
    assert len(next(iter(scheduler.plans())).pieces) == 1


def test_rows_of_one_adapter_lie_together():
    scheduler = running(*(read(sequence(str(n), adapter="xyx"[n])) for n in range(3)))
    (plan,) = scheduler.plans()
    assert [s.request.adapter for s in plan.generating] == ["x", "x", "y"]


def test_each_base_has_a_plan_of_its_own():
    scheduler = running(sequence("a"), sequence("b", base="/other"), sequence("c"))
    scheduler.row_s = 1e-6
    plans = list(scheduler.plans())
    assert [(p.base, len(p.pieces)) for p in plans] == [("/base", 2), ("/other", 1)]


def test_the_wait_it_names_is_that_of_the_sequence_that_should_end_first():
    short, long = read(sequence("a", max_tokens=301)), read(sequence("b", max_tokens=5000))
    scheduler = running(short, long)
    scheduler.step_s = 0.05
    assert scheduler.retry_after_s() == 0.05 * 300
    scheduler.step_s = 1e-6
    assert scheduler.retry_after_s() == 1.0
    scheduler.step_s = 10.0
    assert scheduler.retry_after_s() == 60.0


def test_the_wait_it_names_learns_how_long_answers_are():
    scheduler = running(ended := sequence("a", max_tokens=900), sequence("b", max_tokens=9000))
    scheduler.row_s, scheduler.step_s = 0.1, 0.05
    for token in range(40):
        ended.add(token)
    scheduler.remove(ended)
    assert scheduler.retry_after_s() == pytest.approx(10 * 0.1 + 40 * 0.05)


def test_everything_is_done_with_the_last_of_those_who_run():
    scheduler = running(read(sequence("a", max_tokens=301)), read(sequence("b", max_tokens=501)))
    scheduler.step_s = 0.05
    assert scheduler.done_in_s() == 0.05 * 500
    scheduler.add(sequence("c"))
    assert scheduler.done_in_s() == float("inf")
    assert Scheduler(max_sequences=1, max_waiting=1).done_in_s() == 0.0


def test_places_go_to_the_owner_who_had_least():
    scheduler = Scheduler(max_sequences=6, max_waiting=99)
    waiting(scheduler, *(sequence(f"many{n}", length=100, owner="many") for n in range(9)))
    waiting(scheduler, *(sequence(f"few{n}", length=100, owner="few") for n in range(3)))
    scheduler.admit(lambda one: Admission.STARTED)
    assert sorted(s.request.id for s in scheduler.running) == [
        "few0", "few1", "few2", "many0", "many1", "many2",
    ]  # fmt: skip


def test_long_prompts_of_one_owner_leave_the_other_its_share_of_the_pieces():
    flood = [sequence(f"flood{n}", length=6400, owner="flood") for n in range(6)]
    scheduler = running(*flood, sequence("short", length=640, owner="short"))
    scheduler.row_s = STEP_TARGET_S / GRANULE / 2.5  # Two pieces a step.
    steps = 0
    while any(one.reading for one in scheduler.running if one.request.id == "short"):
        (plan,) = scheduler.plans()
        assert len(plan.pieces) == 2
        for piece in plan.pieces:
            piece.sequence.n_cached = piece.end
        steps += 1
    assert steps == 10  # Ten pieces, one of two in each step; in order of arrival it were 305.


def test_an_owner_who_comes_back_has_neither_credit_nor_debt():
    scheduler = Scheduler(max_sequences=1, max_waiting=99)
    waiting(scheduler, sequence("a0", owner="a"))
    for _ in range(50):  # a is served, b is not here.
        scheduler.admit(lambda one: Admission.STARTED)
        next(scheduler.plans())
        scheduler.add(sequence("a", owner="a"))
        scheduler.remove(scheduler.running[0])
    waiting(scheduler, *(sequence(f"b{n}", owner="b") for n in range(10)))
    order = []
    for _ in range(8):
        scheduler.admit(lambda one: Admission.STARTED)
        (_plan,) = scheduler.plans()
        order.append(scheduler.running[0].request.owner)
        scheduler.add(sequence("a", owner="a"))
        scheduler.remove(scheduler.running[0])
    assert order.count("a") == order.count("b") == 4


def test_a_full_line_is_shared_too():
    scheduler = Scheduler(max_sequences=1, max_waiting=4)
    waiting(scheduler, *(sequence(f"many{n}", owner="many") for n in range(5)))
    assert scheduler.full
    assert scheduler.displaced_by("many") is None
    assert scheduler.displaced_by("few").request.id == "many4"
    waiting(scheduler, sequence("few0", owner="few"), sequence("few1", owner="few"))
    scheduler.remove(scheduler.displaced_by("few"))
    scheduler.remove(scheduler.displaced_by("few"))
    assert scheduler.displaced_by("few") is None  # Three of one and two of the other.


def test_the_latest_makes_way_and_waits_first():
    scheduler = running(*(read(sequence(str(n))) for n in range(3)), sequence("other", base="/o"))
    waiting(scheduler, sequence("late"))
    made_way = scheduler.make_way("/base")
    assert made_way.request.id == "2"
    assert made_way.n_cached == 0
    assert made_way.generated == [1]
    assert [s.request.id for s in scheduler.waiting] == ["2", "late"]


def test_a_request_ends_at_its_own_limit_or_the_context():
    def ask(n):
        return Generate("a", "/base", (1, 2, 3), sampling=Sampling(max_tokens=n))

    assert end_of(ask(5), 100) == 8
    assert end_of(ask(500), 100) == 100
    assert end_of(ask(None), 100) == 100
    assert end_of(Score("a", "/base", (1, 2, 3)), 100) == 3
