"""What a verdict costs does not grow with the hunt: only rows that are new are read."""

from tests.hunting import Desk


def rows_read(desk, monkeypatch, act) -> int:
    """Count the rows that come out of the library during ``act``."""
    read = 0
    rows = desk.database.rows

    def counted(*statement):
        nonlocal read
        found = rows(*statement)
        read += len(found)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(desk.database, "rows", counted, raising=False)
        act()
    return read


def test_a_verdict_reads_no_verdict_a_second_time(tmp_path, monkeypatch):
    with Desk(tmp_path) as desk:
        desk.generate(lanes=1)
        for _ in range(120):
            desk.stream()
            desk.judge(0, "rejected")
        desk.stream()
        for act in (
            lambda: desk.judge(0, "kept"),
            lambda: desk.do(desk.review.undo()),
            lambda: desk.do(desk.review.redo()),
            lambda: (desk.do(desk.review.undo()), desk.judge(0, "rejected")),
        ):
            assert 0 < rows_read(desk, monkeypatch, act) < 60
        assert desk.review.counts.rejected == 121
