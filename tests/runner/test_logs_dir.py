"""The folder of logs: what counts, what goes first, what stays."""

from kiribi_cli.runner.logs_dir import compress_old, delete_logs, enforce_total, log_files, size_of, strays


def write(folder, **sizes):
    for name, size in sizes.items():
        (folder / name.removeprefix("n").replace("_", ".")).write_bytes(b"x" * size)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_missing_folder_has_no_logs(tmp_path):
    assert list(log_files(tmp_path / "none")) == []
    assert delete_logs(tmp_path / "none", (1, 2)) == 0


def test_files_that_are_no_logs_are_never_counted_or_deleted(tmp_path):
    write(tmp_path, n1=10, readme_txt=100, n2_gz=5)

    freed = enforce_total(tmp_path, 0, lambda _: True).freed

    assert (size_of(tmp_path), freed) == (0, 15)
    assert names(tmp_path) == ["readme.txt"]


def test_delete_takes_every_part_of_a_log_and_no_other(tmp_path):
    write(tmp_path, n1=1, n1_gz=2, n1_t0=3, n1_t8=4, n10=5, n11_gz=6)

    freed = delete_logs(tmp_path, (1, 99))

    assert freed == 10
    assert names(tmp_path) == ["10", "11.gz"]


def test_the_oldest_logs_go_until_the_total_holds(tmp_path):
    write(tmp_path, n2=10, n9=10, n10=10, n30=10)

    gone = enforce_total(tmp_path, 20, lambda _: True)

    assert (gone.attempt_ids, gone.freed) == ((2, 9), 20)
    assert names(tmp_path) == ["10", "30"]


def test_a_log_that_may_not_go_stays_though_the_total_is_exceeded(tmp_path):
    write(tmp_path, n1=10, n2=10, n3=10)

    enforce_total(tmp_path, 15, lambda attempt: attempt != 1)

    assert names(tmp_path) == ["1"]


def test_nobody_is_asked_while_the_total_holds(tmp_path):
    write(tmp_path, n1=10)

    def ask(attempt):
        raise AssertionError(attempt)

    assert enforce_total(tmp_path, 10, ask).freed == 0


def test_strays_are_found_and_left_where_they_are(tmp_path):
    write(tmp_path, n1=10, n2=20)

    found = strays(tmp_path, lambda attempts: [one for one in attempts if one != 1])

    assert (found.attempt_ids, found.freed) == ((2,), 20)
    assert names(tmp_path) == ["1", "2"]


def test_a_log_that_is_deleted_while_we_look_is_no_stray(tmp_path):
    write(tmp_path, n1=10)

    def unknown(attempts):
        (tmp_path / "1").unlink()
        return attempts

    assert strays(tmp_path, unknown).attempt_ids == ()


def test_young_and_running_logs_are_not_packed(tmp_path):
    write(tmp_path, n1=10, n2=10)
    [changed_at] = {file.changed_at for file in log_files(tmp_path) if file.attempt_id == 1}

    young = compress_old(tmp_path, before=changed_at - 1_000, running=frozenset())
    running = compress_old(tmp_path, before=changed_at + 60_000, running=frozenset({1, 2}))

    assert (young, running, names(tmp_path)) == (0, 0, ["1", "2"])
