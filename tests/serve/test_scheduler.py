"""Order, pieces and promises of the scheduler, without any tensor."""

from modiste.serve.scheduler import (
    MOST_PIECES,
    Admission,
    Key,
    Scheduler,
    Sequence,
    end_of,
)
from modiste.serve.sequence import Generate, Sampling, Score


def sequence(name, length=10, base="/base", adapter=None, max_tokens=5):
    request = Generate(
        name, base, tuple(range(length)), adapter=adapter, sampling=Sampling(max_tokens=max_tokens)
    )
    return Sequence(Key(1, 1), request, seed=0, end=length + max_tokens)


def running(*sequences, **settings):
    scheduler = Scheduler(**({"max_sequences": 8, "max_waiting": 8} | settings))
    scheduler.running += sequences
    return scheduler


def read(one):
    one.n_cached = len(one.request.ids)
    one.add(1)
    return one


def test_places_go_in_order_of_arrival():
    scheduler = Scheduler(max_sequences=2, max_waiting=9)
    scheduler.waiting += [sequence(name) for name in "abc"]
    offered = []

    def start(one):
        offered.append(one.request.id)
        return Admission.STARTED

    scheduler.admit(start)
    assert offered == ["a", "b"]
    assert [s.request.id for s in scheduler.waiting] == ["c"]


def test_who_waits_for_memory_is_not_overtaken_but_who_waits_for_a_load_is():
    scheduler = Scheduler(max_sequences=9, max_waiting=9)
    scheduler.waiting += [
        sequence("loads"),
        sequence("big"),
        sequence("small"),
        sequence("other", base="/other"),
    ]
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


def test_the_wait_it_names_is_that_of_the_sequence_that_ends_first():
    short, long = read(sequence("a", max_tokens=300)), read(sequence("b", max_tokens=5000))
    scheduler = running(short, long)
    scheduler.step_s = 0.05
    assert scheduler.retry_after_s() == 0.05 * 300
    scheduler.step_s = 1e-6
    assert scheduler.retry_after_s() == 1.0
    scheduler.step_s = 10.0
    assert scheduler.retry_after_s() == 60.0


def test_a_request_ends_at_its_own_limit_or_the_context():
    def ask(n):
        return Generate("a", "/base", (1, 2, 3), sampling=Sampling(max_tokens=n))

    assert end_of(ask(5), 100) == 8
    assert end_of(ask(500), 100) == 100
    assert end_of(ask(None), 100) == 100
    assert end_of(Score("a", "/base", (1, 2, 3)), 100) == 3
